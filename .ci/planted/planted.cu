// Three faults that .ci/machine_code.py must find, and a kernel without any: a gate that lets these
// through would let everything through.

struct Arguments {
    float* x;
    unsigned n;
};

// Takes the address of what could have been registers.
extern "C" __global__ void keeps_an_array(Arguments a) {
    float z[64];
    for (int i = 0; i < 64; i++) z[i] = a.x[i];
    for (int i = 0; i < 64; i++) z[i * a.n % 64] += a.x[i];
    a.x[threadIdx.x] = z[a.n % 64];
}

// Named as one that uses tensor cores.
extern "C" __global__ void has_no_products(Arguments a) { a.x[threadIdx.x] += 1.0f; }

// Allowed 16 registers: 48 numbers are alive at once.
extern "C" __global__ void takes_many_registers(Arguments a) {
    float z[48];
#pragma unroll
    for (int i = 0; i < 48; i++) z[i] = a.x[i * a.n + threadIdx.x];
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 48; i++) sum = fmaf(sum, z[i], z[47 - i]);
    a.x[threadIdx.x] = sum;
}

extern "C" __global__ void is_sound(Arguments a) { a.x[threadIdx.x] *= 2.0f; }
