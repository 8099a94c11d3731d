// N-EUREKA's registers and its queue of two jobs.
#include "neureka.hpp"

#include <array>
#include <set>

#include "neureka_engine.hpp"

namespace siracusa {

namespace {

enum Offset : std::uint32_t {
    kTrigger = 0x00, kAcquire = 0x04, kStatus = 0x0c, kRunningJob = 0x10, kSoftClear = 0x14, kJobBase = 0x20
};
constexpr std::int32_t kFree = -1;                     // no job id: the context is free
constexpr std::uint32_t kNoContext = 0xffffffff, kUncommitted = 0xfffffffe;
constexpr Cycle kStartDelay = 1;                       // from TRIGGER to the first state
constexpr Cycle kQueuedStartDelay = 2;                 // from the end of one job to the first state of the next

}  // namespace

struct Neureka::State {
    explicit State(NpuHost &npu_host) : host(npu_host), engine(npu_host) {}

    NpuHost &host;
    neureka::Engine engine;
    NeurekaCounters done;

    std::array<neureka::Registers, 2> contexts{};
    std::array<std::int32_t, 2> job_id{kFree, kFree};
    std::size_t configured = 0, used = 0;              // the context being written, the one that runs next
    int pending = 0;                                   // committed and not ended
    bool acquired = false;                             // between ACQUIRE and TRIGGER
    std::uint8_t next_id = 0;
    std::int8_t running_id = 0;                        // a signed byte in the model

    bool start_pending = false, running = false, dropped = false, ending = false;
    Cycle begin = 0;
    std::array<Cycle, 2> asked{};                      // when each context's job was triggered
    std::string what;

    std::set<std::string> warned;                      // a loop of doubtful jobs warns once

    void warn_once(const std::string &text);
    std::uint32_t acquire();
    std::uint32_t *job_register(std::uint32_t offset);
    Cycle start(Cycle now);                            // these three return the cycle of the next call
    Cycle advance(Cycle now);
    Cycle finish(Cycle now);
};

void Neureka::State::warn_once(const std::string &text) {
    if (warned.insert(text).second) host.warn(text);
}

std::uint32_t Neureka::State::acquire() {
    if (!acquired && pending < 2) {
        acquired = true;
        job_id[configured] = next_id;
        return next_id++;
    }
    return pending == 2 ? kNoContext : acquired ? kUncommitted : 0;
}

// Registers of the context that is being written, then those of context 0 and of context 1 by themselves.
std::uint32_t *Neureka::State::job_register(std::uint32_t offset) {
    if (offset < kJobBase) return nullptr;
    const std::uint32_t index = (offset - kJobBase) / 4;
    const std::uint32_t bank = index / neureka::kJobRegisters, at = index % neureka::kJobRegisters;
    if (bank > 2) return nullptr;
    return &contexts[bank == 0 ? configured : bank - 1][at];
}

Cycle Neureka::State::start(Cycle now) {
    const neureka::Job job = neureka::decode(contexts[used]);
    start_pending = ending = false, running = true;
    running_id = static_cast<std::int8_t>(job_id[used]);
    begin = now;
    what = job.describe();
    const std::string fault = neureka::malformed(job);
    dropped = !fault.empty();
    if (dropped) {
        warn_once("a job that cannot run is dropped: " + fault);
        ending = true;
        return now + 1;
    }
    for (const std::string &doubt : neureka::doubts(job)) warn_once(doubt + " (job " + what + ")");
    engine.start(job);
    return advance(now);
}

Cycle Neureka::State::advance(Cycle now) {
    const Cycle cycles = engine.advance(now);
    ending = engine.ended();
    return now + (cycles ? cycles : 1);              // a 16-bit output takes no time at all
}

Cycle Neureka::State::finish(Cycle now) {
    running = false;
    const Cycle triggered = asked[used];
    job_id[used] = kFree;
    used = 1 - used;
    pending--;
    done.busy += now - begin;
    done.jobs++;
    if (!dropped) engine.count(done);
    host.job_span(triggered, begin, now, what);
    host.npu_event(now);
    if (pending <= 0) return kNever;
    start_pending = true;
    return now + kQueuedStartDelay;
}

Neureka::Neureka(NpuHost &host, Timing) : state_(std::make_unique<State>(host)) {}
Neureka::~Neureka() = default;

std::uint32_t Neureka::read(std::uint32_t offset, Cycle) {
    State &s = *state_;
    switch (offset) {
        case kAcquire: return s.acquire();
        case kStatus: return (s.job_id[0] != kFree ? 0x001u : 0u) | (s.job_id[1] != kFree ? 0x100u : 0u);
        case kRunningJob: return static_cast<std::uint32_t>(static_cast<std::int32_t>(s.running_id));
        default: break;
    }
    const std::uint32_t *value = s.job_register(offset);
    return value ? *value : 0;
}

void Neureka::write(std::uint32_t offset, std::uint32_t value, Cycle now) {
    State &s = *state_;
    if (offset == kTrigger) {
        s.pending++;
        s.acquired = false;
        s.asked[s.configured] = now;
        s.configured = 1 - s.configured;
        if (value == 0 && !s.running && !s.start_pending) {
            s.start_pending = true;
            next_ = now + kStartDelay;
        }
    } else if (offset == kSoftClear) {
        s.warn_once("SOFT_CLEAR has no effect in the model and damages GVSoC's registers");
    } else if (std::uint32_t *reg = s.job_register(offset)) {
        *reg = value;
    }
}

void Neureka::step(Cycle now) {
    State &s = *state_;
    next_ = s.start_pending ? s.start(now) : s.ending ? s.finish(now) : s.advance(now);
}

bool Neureka::busy() const { return state_->running || state_->start_pending; }
const NeurekaCounters &Neureka::counters() const { return state_->done; }

}  // namespace siracusa
