// Rows of attention scores, (B, A, Q, K), one for each query. What a row may read: the first lengths[b] keys, of which
// mask, (B, mask_rows, K) with mask_rows 1 or Q, allows some. lengths, mask and keep may be null.
struct Row {
    long long start;
    int keys;
    const bool* mask;

    __device__ Row(const int* lengths, const bool* allowed, int A, int Q, int K, int mask_rows)
    {
        int row = blockIdx.x, b = row / (A * Q), q = row % Q;
        start = (long long)row * K;
        keys = lengths ? lengths[b] : K;
        mask = allowed ? allowed + ((long long)b * mask_rows + (mask_rows > 1 ? q : 0)) * K : 0;
    }
    __device__ bool reads(int j) const { return j < keys && (!mask || mask[j]); }
};

// The largest score that the row reads, and 1 / Σ exp(score - largest): 0 where it reads none.
__device__ void normaliser(const Row& row, const C* scores, int K, C* largest, C* inverse)
{
    C top = LOWEST, sum = 0;
    EACH(j, K) if (row.reads(j)) top = larger(scores[row.start + j], top);
    top = block_max(top);
    EACH(j, K) if (row.reads(j)) sum += exp(scores[row.start + j] - top);
    sum = block_sum(sum);
    *largest = top;
    *inverse = sum == 0 ? (C)0 : 1 / sum;
}

// weights = drop(softmax(scores)); they may take the scores' place.
extern "C" __global__ void attention_weights(const C* scores, const int* lengths, const bool* mask, const bool* keep,
                                             C factor, T* weights, int A, int Q, int K, int mask_rows)
{
    Row row(lengths, mask, A, Q, K, mask_rows);
    C largest, inverse;
    normaliser(row, scores, K, &largest, &inverse);
    EACH(j, K) {
        C p = row.reads(j) ? exp(scores[row.start + j] - largest) * inverse : (C)0;
        if (keep) p = keep[row.start + j] ? p * factor : (C)0;
        weights[row.start + j] = (T)p;
    }
}

// From the scores and the gradient of the weights, slopes = dY Vᵀ: the weights again, drop(P), and
// dscores = P (dP - Σ dP P),  dP = drop'(slopes). Weights may take the scores' place, dscores that of the slopes.
extern "C" __global__ void attention_weights_backward(const C* scores, const C* slopes, const int* lengths,
                                                      const bool* mask, const bool* keep, C factor, T* weights,
                                                      T* dscores, int A, int Q, int K, int mask_rows)
{
    Row row(lengths, mask, A, Q, K, mask_rows);
    C largest, inverse, along = 0;
    normaliser(row, scores, K, &largest, &inverse);
    EACH(j, K) {
        long long i = row.start + j;
        if (row.reads(j) && (!keep || keep[i])) along += exp(scores[i] - largest) * inverse * slopes[i];
    }
    if (!keep) factor = 1;
    along = block_sum(along) * factor;
    EACH(j, K) {
        long long i = row.start + j;
        C p = row.reads(j) ? exp(scores[i] - largest) * inverse : (C)0;
        bool kept = !keep || keep[i];
        C dp = kept ? slopes[i] * factor : (C)0;
        dscores[i] = row.reads(j) ? (T)(p * (dp - along)) : (T)(C)0;
        weights[i] = kept ? (T)(p * factor) : (T)(C)0;
    }
}

// y = softmax(x) over rows of n elements.
extern "C" __global__ void softmax(const T* x, T* y, int n)
{
    long long start = (long long)blockIdx.x * n;
    C top = LOWEST, sum = 0;
    EACH(j, n) top = larger((C)x[start + j], top);
    top = block_max(top);
    EACH(j, n) sum += exp((C)x[start + j] - top);
    sum = block_sum(sum);
    EACH(j, n) y[start + j] = (T)(exp((C)x[start + j] - top) / sum);
}

// dx = y (dy - Σ dy y) over rows of n elements.
extern "C" __global__ void softmax_backward(const T* dy, const T* y, T* dx, int n)
{
    long long start = (long long)blockIdx.x * n;
    C along = 0;
    EACH(j, n) along += (C)dy[start + j] * (C)y[start + j];
    along = block_sum(along);
    EACH(j, n) dx[start + j] = (T)((C)y[start + j] * ((C)dy[start + j] - along));
}
