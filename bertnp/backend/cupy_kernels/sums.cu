// Sums over the rows of a matrix, over groups of rows, and over everything.

// For 32 columns and `rows_a_block` rows of a, b and c, (rows, n): Σ a b, Σ a and Σ c, of which those are made whose
// place is not null. The sums of block k of rows stand in row k of `out`, (blocks, how many are made, n).
// Threads: (32, 8).
extern "C" __global__ void column_sums(const T* a, const T* b, const T* c, C* out, int rows, int n, int rows_a_block)
{
    __shared__ C parts[3][8][32];
    int column = blockIdx.x * 32 + threadIdx.x;
    int first = blockIdx.y * rows_a_block, last = first + rows_a_block < rows ? first + rows_a_block : rows;
    C sums[3] = {0, 0, 0};
    if (column < n) {
        for (int row = first + threadIdx.y; row < last; row += 8) {
            long long i = (long long)row * n + column;
            C value = (C)a[i];
            if (b) sums[0] += value * (C)b[i];
            sums[1] += value;
            if (c) sums[2] += (C)c[i];
        }
    }
    for (int k = 0; k < 3; k++) parts[k][threadIdx.y][threadIdx.x] = sums[k];
    __syncthreads();
    if (threadIdx.y || column >= n) return;
    int made = 1 + (b != 0) + (c != 0);
    C* place = out + (long long)blockIdx.y * made * n + column;
    for (int k = 0; k < 3; k++) {
        if ((k == 0 && !b) || (k == 2 && !c)) continue;
        C sum = 0;
        for (int y = 0; y < 8; y++) sum += parts[k][y][threadIdx.x];
        *place = sum;
        place += n;
    }
}

// out[j] = Σ over the rows of x[., j], x: (rows, n), a few rows.
extern "C" __global__ void sum_rows(const C* x, C* out, int rows, int n)
{
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= n) return;
    C sum = 0;
    for (int row = 0; row < rows; row++) sum += x[(long long)row * n + j];
    out[j] = sum;
}

template <typename X>
__device__ void sum_group(const X* x, const int* order, const int* starts, const int* targets, C* out, int n)
{
    int first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    C* place = out + (long long)(targets ? targets[blockIdx.x] : blockIdx.x) * n;
    EACH(j, n) {
        C sum = 0;
        for (int i = first; i < last; i++) sum += (C)x[(long long)(order ? order[i] : i) * n + j];
        place[j] = targets ? place[j] + sum : sum;
    }
}

// Group g has the rows order[starts[g]], ..., order[starts[g + 1] - 1] of x, (., n). Their sum is put in row g of out
// or, where targets are given, added to row targets[g]; no two groups have one target. order may be null: 0, 1, 2, ...
extern "C" __global__ void sum_groups(const T* x, const int* order, const int* starts, const int* targets, C* out, int n)
{
    sum_group(x, order, starts, targets, out, n);
}

// The same for sums of smaller groups.
extern "C" __global__ void sum_group_sums(const C* x, const int* order, const int* starts, const int* targets, C* out,
                                          int n)
{
    sum_group(x, order, starts, targets, out, n);
}

// out[0] = factor Σ x, by one block of threads.
extern "C" __global__ void sum_all(const C* x, C factor, C* out, int n)
{
    C sum = 0;
    EACH(i, n) sum += x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[0] = factor * sum;
}

// Each block's Σ x² over its share of x, added up in double precision; there are at most 1024 blocks.
extern "C" __global__ void squares(const C* x, C* out, long long n)
{
    __shared__ double parts[256];
    double sum = 0;
    for (long long i = (long long)blockIdx.x * 256 + threadIdx.x; i < n; i += (long long)gridDim.x * 256)
        sum += (double)x[i] * (double)x[i];
    parts[threadIdx.x] = sum;
    for (int half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    }
    if (threadIdx.x == 0) out[blockIdx.x] = (C)parts[0];
}

// norm = √ Σ squares and scale = max_norm / max(norm + eps, max_norm), by one thread.
extern "C" __global__ void clip_scale(const C* squares, int n, C max_norm, C eps, C* scale, C* norm)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)squares[i];
    C length = (C)sqrt(sum);
    norm[0] = length;
    scale[0] = max_norm / larger(length + eps, max_norm);
    if (length != length) scale[0] = length;  // what is no number stays none
}
