// Keep-masks from the counter-based generator Philox4x64-10 (Salmon et al. 2011), bit for bit those that
// numpy.random.Philox(key=(seed, 0), counter=(0, site, example, step)) gives on the host.
typedef unsigned long long u64;

__device__ void philox(u64 c[4], u64 key0, u64 key1)
{
    for (int round = 0; round < 10; round++) {
        u64 high0 = __umul64hi(0xD2E7470EE14C6C93ull, c[0]), low0 = 0xD2E7470EE14C6C93ull * c[0];
        u64 high1 = __umul64hi(0xCA5A826395121157ull, c[2]), low1 = 0xCA5A826395121157ull * c[2];
        c[0] = high1 ^ c[1] ^ key0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ key1;
        c[3] = low0;
        key0 += 0x9E3779B97F4A7C15ull;
        key1 += 0xBB67AE8584CAA73Bull;
    }
}

// Sixteen elements for each call: element e is kept if its 16 random bits are at least `threshold`.
struct Draw {
    u64 numbers[4];
    int threshold;

    __device__ Draw(u64 seed, u64 site, u64 example, u64 step, int block, int least) : threshold(least)
    {
        numbers[0] = (u64)block + 1;
        numbers[1] = site;
        numbers[2] = example;
        numbers[3] = step;
        philox(numbers, seed, 0);
    }
    __device__ bool keeps(int e) const { return (int)(numbers[e / 4] >> (e % 4 * 16) & 0xffff) >= threshold; }
};

// keep: (T, width), sequence after sequence: sequence b has lengths[b] rows from starts[b] on.
extern "C" __global__ void draw_rows(bool* keep, const int* starts, const int* lengths, int width, u64 seed, u64 site,
                                     u64 first_example, u64 step, int threshold)
{
    int b = blockIdx.y, block = blockIdx.x * blockDim.x + threadIdx.x;
    long long size = (long long)lengths[b] * width, first = (long long)block * 16;
    if (first >= size) return;
    Draw draw(seed, site, first_example + b, step, block, threshold);
    bool* place = keep + (long long)starts[b] * width + first;
    for (int e = 0; e < 16 && first + e < size; e++) place[e] = draw.keeps(e);
}

// keep: (B, A, K, K), of which sequence b draws the first lengths[b] rows and columns of every head.
extern "C" __global__ void draw_heads(bool* keep, const int* lengths, int A, int K, u64 seed, u64 site,
                                      u64 first_example, u64 step, int threshold)
{
    int b = blockIdx.y, block = blockIdx.x * blockDim.x + threadIdx.x, n = lengths[b];
    long long size = (long long)A * n * n, first = (long long)block * 16;
    if (first >= size) return;
    Draw draw(seed, site, first_example + b, step, block, threshold);
    int column = first % n;
    long long row = first / n;  // head · n + query
    for (int e = 0; e < 16 && first + e < size; e++) {
        keep[(((long long)b * A + row / n) * K + row % n) * K + column] = draw.keeps(e);
        if (++column == n) {
            column = 0;
            row++;
        }
    }
}
