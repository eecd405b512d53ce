// What lies between the matrix products of one decoding step on a CPU: see paged_kernel.py and cpu_decoder.py. Plain
// loops, left to the compiler to vectorize.
//
// First the new key and value of every row are written: to its completion's page, or, for a row without a completion (a
// token of a prompt), to the prompt's slot. Then a task is one key-value head of one row: it scores its R queries against
// prefix, prompt and own pages, takes the softmax and sums the values, all in fp32.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

struct BFloat16 {
    uint16_t bits;
};

inline float widen(float value) { return value; }

inline float widen(BFloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

inline void narrow(float value, float* target) { *target = value; }

inline void narrow(float value, BFloat16* target) {  // to nearest, ties to even
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    target->bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

struct Sizes {
    int64_t num_rows, num_real, num_kv, queries, prefix, prompt_capacity, columns, page, size;
};

template <typename T>
struct Arrays {
    const T *query, *key, *value, *prefix_keys, *prefix_values;
    T *prompt_keys, *prompt_values, *page_keys, *page_values;
    const int64_t *prompts, *prefix_lengths, *prompt_lengths, *own_lengths, *page_table;
    T* out;
};

// Eight numbers that are worked on together; a compiler makes of them what the processor has.
constexpr int LANES = 8, SUMS = 8;  // so many sums of lanes stay in registers
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float))));

template <typename T>
inline Lanes load(const T* source) {
    Lanes result;
    for (int i = 0; i < LANES; ++i) result[i] = widen(source[i]);
    return result;
}

inline float sum_of(Lanes lanes) {
    float sum = 0;
    for (int i = 0; i < LANES; ++i) sum += lanes[i];
    return sum;
}

// D (head size) and R (queries of a key-value head) are constants for the usual sizes, else 0 and taken from Sizes.

// Scores of N keys, side by side, so that one sum need not wait for the other.
template <typename T, int D, int R, int N>
inline void score_some(const T* keys, const float* query, float* scores, int64_t stride) {
    Lanes sums[N][R] = {};
    for (int d = 0; d < D; d += LANES)
        for (int n = 0; n < N; ++n) {
            const Lanes key = load(keys + n * D + d);
            for (int r = 0; r < R; ++r) sums[n][r] += load(query + r * D + d) * key;
        }
    for (int n = 0; n < N; ++n)
        for (int r = 0; r < R; ++r) scores[r * stride + n] = sum_of(sums[n][r]);
}

template <typename T, int D, int R>
void score(const Sizes& s, const T* keys, int64_t count, const float* query, float* scores, int64_t stride) {
    const int64_t width = D ? D : s.size, queries = R ? R : s.queries;
    if constexpr (D && R) {
        constexpr int N = std::min(4, SUMS / R);
        int64_t t = 0;
        for (; t + N <= count; t += N) score_some<T, D, R, N>(keys + t * D, query, scores + t, stride);
        for (; t < count; ++t) score_some<T, D, R, 1>(keys + t * D, query, scores + t, stride);
    } else {
        for (int64_t t = 0; t < count; ++t)
            for (int64_t r = 0; r < queries; ++r) {
                float sum = 0;
                for (int64_t d = 0; d < width; ++d) sum += query[r * width + d] * widen(keys[t * width + d]);
                scores[r * stride + t] = sum;
            }
    }
}

template <typename T, int D, int R>
void add_values(const Sizes& s, const T* values, int64_t count, const float* weights, int64_t stride, float* out) {
    const int64_t width = D ? D : s.size, queries = R ? R : s.queries;
    if constexpr (D && R) {
        constexpr int N = SUMS / R;  // a strip of so many lanes of the head at a time
        for (int d = 0; d < D; d += N * LANES) {
            Lanes sums[R][N];
            for (int r = 0; r < R; ++r)
                for (int n = 0; n < N; ++n) sums[r][n] = load(out + r * D + d + n * LANES);
            for (int64_t t = 0; t < count; ++t)
                for (int n = 0; n < N; ++n) {
                    const Lanes value = load(values + t * D + d + n * LANES);
                    for (int r = 0; r < R; ++r) sums[r][n] += weights[r * stride + t] * value;
                }
            for (int r = 0; r < R; ++r)
                for (int n = 0; n < N; ++n) std::memcpy(out + r * D + d + n * LANES, &sums[r][n], sizeof(Lanes));
        }
    } else {
        for (int64_t r = 0; r < queries; ++r)
            for (int64_t t = 0; t < count; ++t)
                for (int64_t d = 0; d < width; ++d)
                    out[r * width + d] += weights[r * stride + t] * widen(values[t * width + d]);
    }
}

void softmax(float* scores, int64_t count) {
    float largest = scores[0], sum = 0;
    for (int64_t t = 1; t < count; ++t) largest = std::max(largest, scores[t]);
    for (int64_t t = 0; t < count; ++t) {
        scores[t] = std::exp(scores[t] - largest);
        sum += scores[t];
    }
    const float scale = 1 / sum;
    for (int64_t t = 0; t < count; ++t) scores[t] *= scale;
}

template <typename T>
void write_one(const Sizes& s, const Arrays<T>& a, int64_t row, int64_t head) {
    const int64_t own = a.own_lengths[row], source = (row * s.num_kv + head) * s.size;
    T *keys = a.page_keys, *values = a.page_values;
    int64_t place;
    if (own) {
        const int64_t page = a.page_table[row * s.columns + (own - 1) / s.page];
        place = (page * s.num_kv + head) * s.page + (own - 1) % s.page;
    } else {
        keys = a.prompt_keys, values = a.prompt_values;
        place = (a.prompts[row] * s.num_kv + head) * s.prompt_capacity + a.prompt_lengths[row] - 1;
    }
    std::copy_n(a.key + source, s.size, keys + place * s.size);
    std::copy_n(a.value + source, s.size, values + place * s.size);
}

template <typename T, int D, int R>
void attend_one(const Sizes& s, const Arrays<T>& a, float scaling, int64_t row, int64_t head, std::vector<float>& work) {
    const int64_t width = D ? D : s.size, own = a.own_lengths[row], prompt = a.prompt_lengths[row];
    const int64_t prefix = a.prefix_lengths[row], total = prefix + prompt + own, block = s.queries * width;
    work.resize(2 * block + s.queries * total);
    float *query = work.data(), *out = query + block, *scores = out + block;
    const T* source = a.query + (row * s.num_kv + head) * block;
    for (int64_t i = 0; i < block; ++i) query[i] = widen(source[i]) * scaling, out[i] = 0;
    const int64_t* pages = a.page_table + row * s.columns;
    const int64_t prefix_at = head * s.prefix * width;
    const int64_t prompt_at = (a.prompts[row] * s.num_kv + head) * s.prompt_capacity * width;
    score<T, D, R>(s, a.prefix_keys + prefix_at, prefix, query, scores, total);
    score<T, D, R>(s, a.prompt_keys + prompt_at, prompt, query, scores + prefix, total);
    for (int64_t at = 0; at < own; at += s.page) {
        const T* keys = a.page_keys + (pages[at / s.page] * s.num_kv + head) * s.page * width;
        score<T, D, R>(s, keys, std::min(s.page, own - at), query, scores + prefix + prompt + at, total);
    }
    for (int64_t r = 0; r < s.queries; ++r) softmax(scores + r * total, total);
    add_values<T, D, R>(s, a.prefix_values + prefix_at, prefix, scores, total, out);
    add_values<T, D, R>(s, a.prompt_values + prompt_at, prompt, scores + prefix, total, out);
    for (int64_t at = 0; at < own; at += s.page) {
        const T* values = a.page_values + (pages[at / s.page] * s.num_kv + head) * s.page * width;
        add_values<T, D, R>(s, values, std::min(s.page, own - at), scores + prefix + prompt + at, total, out);
    }
    T* target = a.out + (row * s.num_kv + head) * block;
    for (int64_t i = 0; i < block; ++i) narrow(out[i], target + i);
}

template <typename T, int D, int R>
void attend_all(const Sizes& s, const Arrays<T>& a, float scaling) {
    const int64_t block = s.num_kv * s.queries * s.size;
    for (int64_t i = s.num_real * block; i < s.num_rows * block; ++i) narrow(0.0f, a.out + i);
#pragma omp parallel
    {
        std::vector<float> work;
#pragma omp for
        for (int64_t task = 0; task < s.num_real * s.num_kv; ++task)
            write_one<T>(s, a, task / s.num_kv, task % s.num_kv);
#pragma omp for schedule(dynamic, 4)
        for (int64_t task = 0; task < s.num_real * s.num_kv; ++task)
            attend_one<T, D, R>(s, a, scaling, task / s.num_kv, task % s.num_kv, work);
    }
}

template <typename T, int D>
void attend_sized(const Sizes& s, const Arrays<T>& a, float scaling) {
    switch (s.queries) {
        case 1: return attend_all<T, D, 1>(s, a, scaling);
        case 2: return attend_all<T, D, 2>(s, a, scaling);
        case 4: return attend_all<T, D, 4>(s, a, scaling);
        default: return attend_all<T, 0, 0>(s, a, scaling);
    }
}

template <typename T>
void attend(const Sizes& s, void* const* pointers, float scaling) {
    Arrays<T> a;
    std::memcpy(&a, pointers, sizeof a);
    switch (s.size) {
        case 64: return attend_sized<T, 64>(s, a, scaling);
        case 128: return attend_sized<T, 128>(s, a, scaling);
        default: return attend_all<T, 0, 0>(s, a, scaling);
    }
}

template <typename T>
void normalize(int64_t rows, int64_t width, const T* in, const T* weight, T* out, float epsilon) {
    for (int64_t row = 0; row < rows; ++row, in += width, out += width) {
        float sum = 0;
        for (int64_t i = 0; i < width; ++i) sum += widen(in[i]) * widen(in[i]);
        const float scale = 1 / std::sqrt(sum / width + epsilon);
        for (int64_t i = 0; i < width; ++i) {
            T normal;
            narrow(widen(in[i]) * scale, &normal);
            narrow(widen(normal) * widen(weight[i]), out + i);
        }
    }
}

template <typename T>
inline float rounded(float value) {  // as an operation of its own would leave it
    T result;
    narrow(value, &result);
    return widen(result);
}

// Rotary positions (arXiv:2104.09864) of heads (rows, heads, size) in place, by cosines and sines (rows, size).
template <typename T>
void rotate(int64_t rows, int64_t heads, int64_t size, T* states, const T* cosines, const T* sines) {
    const int64_t half = size / 2;
    for (int64_t row = 0; row < rows; ++row, cosines += size, sines += size)
        for (int64_t head = 0; head < heads; ++head, states += size)
            for (int64_t i = 0; i < half; ++i) {
                const float low = widen(states[i]), high = widen(states[i + half]);
                const float from_low = rounded<T>(low * widen(cosines[i]));
                const float from_high = rounded<T>(high * widen(cosines[i + half]));
                narrow(from_low - rounded<T>(high * widen(sines[i])), states + i);
                narrow(from_high + rounded<T>(low * widen(sines[i + half])), states + i + half);
            }
}

// SiLU of the gate times the other half, into the gate.
template <typename T>
void gated(int64_t count, T* gate, const T* up) {
    for (int64_t i = 0; i < count; ++i) {
        const float value = widen(gate[i]);
        narrow(rounded<T>(value / (1 + std::exp(-value))) * widen(up[i]), gate + i);
    }
}

}  // namespace

extern "C" void thinkwright_rotate(const int64_t* sizes, void* const* pointers, int is_bf16) {
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        rotate(sizes[0], sizes[1], sizes[2], static_cast<T*>(pointers[0]), static_cast<const T*>(pointers[1]),
               static_cast<const T*>(pointers[2]));
    };
    if (is_bf16) run(BFloat16{});
    else run(0.0f);
}

extern "C" void thinkwright_gate(int64_t count, void* gate, const void* up, int is_bf16) {
    if (is_bf16) gated(count, static_cast<BFloat16*>(gate), static_cast<const BFloat16*>(up));
    else gated(count, static_cast<float*>(gate), static_cast<const float*>(up));
}

extern "C" void thinkwright_norm(const int64_t* sizes, void* const* pointers, float epsilon, int is_bf16) {
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        normalize(sizes[0], sizes[1], static_cast<const T*>(pointers[0]), static_cast<const T*>(pointers[1]),
                  static_cast<T*>(pointers[2]), epsilon);
    };
    if (is_bf16) run(BFloat16{});
    else run(0.0f);
}

extern "C" void thinkwright_attend(const int64_t* sizes, void* const* pointers, float scaling, int is_bf16) {
    Sizes s;
    std::memcpy(&s, sizes, sizeof s);
    if (is_bf16) attend<BFloat16>(s, pointers, scaling);
    else attend<float>(s, pointers, scaling);
}
