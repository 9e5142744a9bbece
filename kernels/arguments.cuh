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
    u32* control;        // zeroed: the next chunk, and the bits of the largest magnitude
    float* sums;         // SUM_SLOTS x THREADS a block, unless sums are in registers
    double factor;       // 2^scale
    double limit;        // magnitudes from here on do not fit
    double batch;        // n
    double samples;      // M
    u32 n_chunks;
    u32 step;
    u32 stream;
    int objective;
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
    double* result;          // norm of the gradient without b, and the new b
    double unit;             // 2^-scale
    double sample_factor;    // of separated sums
    double beta1, beta2, epsilon, correct1, correct2;
    double lr, b_lr, weight_decay;
    double clip_norm;        // infinite if there is none
};

// How much memory the kernels of this shape expect, for a host that computed it by itself.
struct SizesArguments {
    u64* sizes;  // shared memory, packed, tile, sum slots, parameters
};

static_assert(sizeof(DensityNode) == 56 && sizeof(Density) == 24 && sizeof(Model) == 80, "twin");
static_assert(sizeof(Chunk) == 16 && sizeof(ChunkTally) == 64 && sizeof(Scored) == 12, "twin");
static_assert(sizeof(StepArguments) == 184 && sizeof(ScoreArguments) == 120, "twin");
static_assert(sizeof(UpdateArguments) == 144, "twin");

}  // namespace snel
