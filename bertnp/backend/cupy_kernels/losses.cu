// log_p = log softmax(logits) for every row of n classes, and the row's share of the loss,
// -(1 - smoothing) log_p[label] - smoothing / n Σ log_p: 0 where the label is negative.
extern "C" __global__ void cross_entropy(const T* logits, const int* labels, C smoothing, C* log_p, C* losses, int n)
{
    long long start = (long long)blockIdx.x * n;
    C top = LOWEST, sum = 0, total = 0;
    EACH(j, n) top = larger((C)logits[start + j], top);
    top = block_max(top);
    EACH(j, n) sum += exp((C)logits[start + j] - top);
    C log_sum = log(block_sum(sum));
    EACH(j, n) {
        C value = (C)logits[start + j] - top - log_sum;
        log_p[start + j] = value;
        total += value;
    }
    if (smoothing != 0) total = block_sum(total);
    if (threadIdx.x) return;
    int label = labels[blockIdx.x];
    C loss = 0;
    if (label >= 0) {
        loss = -(1 - smoothing) * ((C)logits[start + label] - top - log_sum);
        if (smoothing != 0) loss -= smoothing / n * total;
    }
    losses[blockIdx.x] = loss;
}

// dlogits = dloss (p - t) / N,  t = (1 - smoothing) onehot(label) + smoothing / n: 0 where the label is negative.
// dloss comes from the device, dloss[0], or, where that is null, as a number.
extern "C" __global__ void cross_entropy_backward(const C* log_p, const int* labels, const C* dloss, C number,
                                                  C smoothing, int N, C* dlogits, int n)
{
    long long start = (long long)blockIdx.x * n;
    int label = labels[blockIdx.x];
    C factor = (dloss ? dloss[0] : number) / N;
    EACH(j, n) {
        C slope = exp(log_p[start + j]) - smoothing / n - (j == label ? 1 - smoothing : (C)0);
        dlogits[start + j] = label < 0 ? (C)0 : slope * factor;
    }
}
