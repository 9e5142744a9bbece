// What kernels are given. Twins: crates/snel-cuda/src/arguments.rs, field by field.
#pragma once
#include "primitives.cuh"

namespace snel {

enum DensityKind { GAUSSIAN, STUDENT, UNIFORM, MIXTURE };

// A node of a density: a component, or a mixture of the nodes first_child..+children.
// Positions count floats from the beginning of the table's values.
struct DensityNode {
    int kind;
    int diagonal;  // scale and inverse: dim values, else dim (dim + 1) / 2, rows one after another
    int mean;      // or the lower corner
    int scale;     // or the upper corner
    int inverse;   // of the scale
    int first_child;
    int children;
    float offset;      // constant of the log-density, and the log of all mixture weights above
    float exponent;    // Student: -(df + D) / 2
    float inverse_df;  // Student
    double weight;     // in the mixture right above
    double df;         // Student
};

// A density. Node 0 is the whole; children come after their parents. Without nodes there is none.
struct Density {
    const DensityNode* nodes;
    const float* values;
    int count;
    int has_lower;  // some scale is not diagonal
};

enum Objective { SNL, IS_MLE, NCE };
enum Base { BASE_NONE, BASE_PROPOSAL, BASE_DENSITY };

// A range of points: rows of the gathered matrix, or numbers of samples.
struct Chunk {
    u64 first;
    u32 count;
    u32 is_sample;
};

// Sums over the points of one chunk.
struct ChunkTally {
    u64 rows, samples, overflows, not_finite;
    double max_u, row_log_density, weight, weight_squared;
};

// What is common to everything that evaluates points.
struct Model {
    const float* parameters;        // flat
    const unsigned char* packed;    // the packed copy of them
    Density proposal, base;
    unsigned char* tiles;           // TILE_BYTES a block, unless tiles are in shared memory
    u32 seed;
    int base_kind;
};

// How the sums of a step stand. It stays on the device over the steps of a batch.
struct Control {
    u32 next_chunk;    // the ticket
    u32 largest;       // bits of the largest finite magnitude of any chunk's gradient
    u32 unsound;       // not zero if a chunk has overflows, or values that are not finite
    u32 stalled;       // not zero if the batch has met a step that the host must see
    int scale;         // exponent of the sums of the step that comes, or is in work
    int scale_of_sums; // exponent of the finished sums
};

// What a step of a batch, or an update alone, tells the host.
struct StepReport {
    double gradient_norm;  // without b
    float b;               // after the update
    int next_scale;
    u32 applied;           // 0 if the batch stalled here
    u32 unused;
};

struct PackArguments {
    const float* parameters;
    unsigned char* packed;
};

struct StepArguments {
    Model model;
    const float* rows;   // gathered, DIM values each
    const Chunk* chunks;
    ChunkTally* tallies; // one a chunk
    u64* row_sums;       // two's complement, one a parameter
    u64* sample_sums;    // the same memory unless the objective separates samples
    Control* control;
    float* sums;         // SUM_SLOTS x THREADS a block, unless sums are in registers
    double batch;        // n
    double samples;      // M
    u32 n_chunks;
    u32 step;
    u32 stream;
    int objective;
    int chunk_bits;      // a chunk's magnitude must stay below 2^(chunk_bits - scale)
    u32 unused;
};

struct VerdictArguments {
    Control* control;
    StepReport* report;
    int chunk_bits;
    int headroom_bits;  // above the largest magnitude
    int first_scale;    // where all magnitudes are zero
    int finest;         // no scale is above
};

struct Scored {
    float energy, log_base, log_proposal;
};

struct ScoreArguments {
    Model model;
    float* points;  // DIM values each: read, or written if they are samples
    Scored* scored;
    u64 first;      // number of the first sample
    u32 count;
    u32 is_sample;
    u32 step;
    u32 stream;
};

struct UpdateArguments {
    float* parameters;
    float* first_moment;
    float* second_moment;
    const u64* row_sums;
    const u64* sample_sums;  // null unless the objective separates samples
    double* norm_parts;      // NORM_PARTS
    StepReport* report;
    const Control* control;
    double sample_factor;    // of separated sums
    double beta1, beta2, epsilon, correct1, correct2;
    double lr, b_lr, weight_decay;
    double clip_norm;        // infinite if there is none
};

// Of a chunk's gradient, layer by layer: bits of the largest finite magnitude, and the number of
// values that are not finite.
struct ChunkExtent {
    u32 largest, not_finite;
};

// For all kernels that work layer by layer, on some chunks of `chunk_rows` rows each at a time. Rows
// of a level's values are padded to 16, rows of a chunk to a tile.
struct LayerArguments {
    StepArguments step;      // chunks, tallies: those of these chunks; n_chunks: how many there are
    float* points;           // in float; the values of level 0 if parts are float
    unsigned char* values;   // of all levels, each part by itself
    unsigned char* slopes;   // of hidden levels, later cotangents of their sums
    float* product;          // sums of a level before the activation, or cotangents of its values
    float* log_base;         // one a row, as the next three
    float* log_proposal;
    float* energies;
    float* cotangents;
    float* gradients;        // GRADIENT_FLOATS a chunk
    ChunkExtent* extents;    // one a chunk
    float* drawn;            // where drawn points go, DIM values each, or null
    Scored* scored;          // where scores go, or null
    u64 rows;                // room for so many, all chunks together
    u32 chunk_rows;
    int layer;               // of the kernels that are for one layer
};

// How much memory the kernels of this shape expect, for a host that computed it by itself.
struct SizesArguments {
    // Shared memory, packed, tile, sum slots, parameters; layer by layer instead of the middle one
    // bytes of a row, and floats of a chunk's gradient.
    u64* sizes;
};

static_assert(sizeof(DensityNode) == 56 && sizeof(Density) == 24 && sizeof(Model) == 80, "twin");
static_assert(sizeof(Chunk) == 16 && sizeof(ChunkTally) == 64 && sizeof(Scored) == 12, "twin");
static_assert(sizeof(StepArguments) == 176 && sizeof(ScoreArguments) == 120, "twin");
static_assert(sizeof(Control) == 24 && sizeof(StepReport) == 24, "twin");
static_assert(sizeof(VerdictArguments) == 32 && sizeof(UpdateArguments) == 144, "twin");
static_assert(sizeof(LayerArguments) == 288 && sizeof(ChunkExtent) == 8, "twin");

}  // namespace snel
