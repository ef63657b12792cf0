// r = residual + drop(x + bias); bias, residual and keep may be null
__device__ C summand(const T* x, const T* bias, const T* residual, const bool* keep, C factor, long long i, int j)
{
    C r = (C)x[i];
    if (bias) r += (C)bias[j];
    if (keep) r = keep[i] ? r * factor : (C)0;
    return residual ? r + (C)residual[i] : r;
}

// y = γ x̂ + β,  x̂ = (r - μ) inv_std,  inv_std = 1 / √(σ² + eps), for every row of n elements. Ba et al. 2016, eq. 4
extern "C" __global__ void residual_norm(const T* x, const T* bias, const T* residual, const bool* keep, C factor,
                                         const T* weight, const T* norm_bias, C eps, T* y, T* x_hat, C* inv_std, int n)
{
    long long start = (long long)blockIdx.x * n;
    C sum = 0, square = 0;
    EACH(j, n) sum += summand(x, bias, residual, keep, factor, start + j, j);
    C mean = block_sum(sum) / n;
    EACH(j, n) {
        C centred = summand(x, bias, residual, keep, factor, start + j, j) - mean;
        square += centred * centred;
    }
    C inverse = 1 / sqrt(block_sum(square) / n + eps);
    EACH(j, n) {
        C normal = (summand(x, bias, residual, keep, factor, start + j, j) - mean) * inverse;
        x_hat[start + j] = (T)normal;
        y[start + j] = (T)((C)weight[j] * normal + (C)norm_bias[j]);
    }
    if (threadIdx.x == 0) inv_std[blockIdx.x] = inverse;
}

// dr = inv_std (g - mean(g) - x̂ mean(g x̂)),  g = γ dy, and where keep is not null dx = drop'(dr)
extern "C" __global__ void residual_norm_backward(const T* dy, const T* x_hat, const C* inv_std, const T* weight,
                                                  const bool* keep, C factor, T* dresidual, T* dx, int n)
{
    long long start = (long long)blockIdx.x * n;
    C sum = 0, along = 0;
    EACH(j, n) {
        C g = (C)weight[j] * (C)dy[start + j];
        sum += g;
        along += g * (C)x_hat[start + j];
    }
    C mean = block_sum(sum) / n;
    along = block_sum(along) / n;
    C inverse = inv_std[blockIdx.x];
    EACH(j, n) {
        C dr = inverse * ((C)weight[j] * (C)dy[start + j] - mean - (C)x_hat[start + j] * along);
        dresidual[start + j] = (T)dr;
        if (keep) dx[start + j] = keep[start + j] ? (T)(dr * factor) : (T)(C)0;
    }
}
