// The type of cuda_bf16.h on the processor: the upper half of a float, rounded to the nearest, ties to even.
#pragma once
#include <cstdint>
#include <cstring>

struct __nv_bfloat16 {
    uint16_t bits;

    __nv_bfloat16() = default;
    __nv_bfloat16(float value)
    {
        uint32_t whole;
        std::memcpy(&whole, &value, 4);
        if (value != value) bits = 0x7fc0;
        else bits = (whole + 0x7fff + (whole >> 16 & 1)) >> 16;
    }
    operator float() const
    {
        uint32_t whole = (uint32_t)bits << 16;
        float value;
        std::memcpy(&value, &whole, 4);
        return value;
    }
};
