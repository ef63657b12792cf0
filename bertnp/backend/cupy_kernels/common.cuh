// What all kernels here share. Before it stand two type names: T, in which activations and weights are kept, and C, in
// which is computed and in which gradients of parameters, statistics and losses are kept. T is float, double or
// bfloat16; C is T, but float where T is bfloat16.
//
// A kernel that works on rows has one block of threads for each. Sums are added in an order that depends on sizes alone,
// and nothing is added by atomics, so that the same input gives the same bits. Pointers that may be null say so.

#define ALL_LANES 0xffffffffu
#define LOWEST ((C)(-1.0f / 0.0f))  // minus infinity
#define EACH(j, n) for (int j = threadIdx.x; j < (n); j += blockDim.x)

__device__ C larger(C a, C b) { return a > b ? a : b; }

__device__ C warp_sum(C value)
{
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

__device__ C warp_max(C value)
{
    for (int distance = 16; distance > 0; distance /= 2)
        value = larger(value, __shfl_xor_sync(ALL_LANES, value, distance));
    return value;
}

// The sum of all threads' values, in every thread. A block has 32, 64, ... or 1024 threads.
__device__ C block_sum(C value)
{
    __shared__ C of_warps[32];
    value = warp_sum(value);
    if (blockDim.x == 32) return value;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    __syncthreads();  // those of the sum before have been read
    if (lane == 0) of_warps[warp] = value;
    __syncthreads();
    return warp_sum(lane < blockDim.x / 32 ? of_warps[lane] : (C)0);
}

__device__ C block_max(C value)
{
    __shared__ C of_warps[32];
    value = warp_max(value);
    if (blockDim.x == 32) return value;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    __syncthreads();
    if (lane == 0) of_warps[warp] = value;
    __syncthreads();
    return warp_max(of_warps[lane < blockDim.x / 32 ? lane : 0]);
}
