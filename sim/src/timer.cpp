#include "timer.hpp"

#include <algorithm>

namespace siracusa {
namespace {
constexpr std::uint32_t kEnable = 1, kReset = 2, kInterrupt = 4, kClear = 16, kOnce = 32, kCascade = 1u << 31;
}

std::uint32_t Timer::read(std::uint32_t offset, Cycle now) const {
    const Half &half = halves_[offset >> 2 & 1];
    switch (offset >> 3) {
        case 0: return half.config;
        case 1:
            if (&half == &halves_[1] && (halves_[0].config & kCascade))
                return halves_[1].start + static_cast<std::uint32_t>((halves_[0].start + (halves_[0].running() ? now - halves_[0].since : 0)) >> 32);
            return half.value(now);
        case 2: return half.compare;
        default: return 0;
    }
}

void Timer::configure(Half &half, std::uint32_t value, Cycle now) {
    half.set(value & kReset ? 0 : half.value(now), now);
    half.config = value & ~kReset;
}

void Timer::write(std::uint32_t offset, std::uint32_t value, Cycle now) {
    Half &half = halves_[offset >> 2 & 1];
    switch (offset >> 3) {
        case 0: configure(half, value, now); break;
        case 1: half.set(value, now); break;
        case 2: half.compare = value; break;
        case 3: configure(half, half.config | kEnable, now); break;
        case 4: half.set(0, now); break;
        default: break;
    }
}

Cycle Timer::due(const Half &half) const {
    if (!half.running() || !(half.config & kInterrupt)) return kNever;
    return half.since + (half.compare - half.start);
}

Cycle Timer::next() const { return std::min(due(halves_[0]), due(halves_[1])); }

std::uint32_t Timer::step(Cycle now) {
    std::uint32_t events = 0;
    for (std::size_t k = 0; k < halves_.size(); k++) {
        Half &half = halves_[k];
        if (due(half) > now) continue;
        events |= 1u << k;
        half.set(half.config & kClear ? 0 : half.compare + 1, now + (half.config & kClear ? 0 : 1));
        if (half.config & kOnce) half.config &= ~kEnable;
        if ((half.config & kClear) && half.compare == 0) half.config &= ~kEnable;     // would match for ever in one cycle
    }
    return events;
}

}  // namespace siracusa
