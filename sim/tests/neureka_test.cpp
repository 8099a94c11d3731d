// N-EUREKA's registers and queue, and wild jobs: none may crash, and each step moves time forward.
#include "neureka.hpp"

#include <cstring>
#include <random>
#include <vector>

#include "check.hpp"
#include "neureka_job.hpp"

using namespace siracusa;

namespace {

struct Host final : NpuHost {
    std::vector<std::uint8_t> l1 = std::vector<std::uint8_t>(kL1Size), wmem = std::vector<std::uint8_t>(kWmemSize);
    Tcdm banks{l1.data()};
    std::vector<std::string> warnings;
    std::vector<Cycle> events;
    std::uint64_t written = 0;

    Tcdm &tcdm() override { return banks; }
    const std::uint8_t *weight_memory() override { return wmem.data(); }
    void l1_written(std::uint32_t offset, std::uint32_t bytes) override {
        CHECK(offset + bytes <= kL1Size);
        written += bytes;
    }
    void npu_event(Cycle now) override { events.push_back(now); }
    void warn(const std::string &what) override { warnings.push_back(what); }
    void job_span(Cycle asked, Cycle begin, Cycle end, const std::string &what) override { CHECK(asked < begin && begin < end && !what.empty()); }
};

constexpr std::uint32_t kTrigger = 0x00, kAcquire = 0x04, kStatus = 0x0c, kRunning = 0x10, kJob = 0x20;

// 1x1, 32 -> 32 channels, one pixel, 8 bit, weights in weight memory.
neureka::Registers small_job() {
    neureka::Registers r{};
    r[1] = 0x10001000, r[2] = 0x10002000, r[3] = 0x10003000, r[5] = 0x10003100;
    r[6] = r[7] = 32, r[9] = r[10] = r[11] = 32, r[12] = r[13] = 32;
    r[15] = 32u << 16 | 32, r[16] = r[17] = r[18] = r[19] = 1u << 16 | 1;
    r[21] = static_cast<std::uint32_t>(-128);
    r[23] = 1u << 26 | 1u << 25 | 1u << 23 | 1u << 15 | 1u << 9 | 2u << 5 | 1u << 4 | 7;
    return r;
}

void submit(Neureka &npu, const neureka::Registers &registers, Cycle now, std::uint32_t trigger = 0) {
    for (std::uint32_t i = 0; i < registers.size(); i++) npu.write(kJob + 4 * i, registers[i], now);
    npu.write(kTrigger, trigger, now);
}

Cycle finish(Neureka &npu, int limit = 1000000) {
    Cycle last = 0;
    for (int i = 0; npu.next() != kNever && i < limit; i++) {
        CHECK(npu.next() > last);
        last = npu.next();
        npu.step(last);
    }
    return last;
}

void queue_of_two() {
    Host host;
    Neureka npu(host, Timing::chip);
    CHECK(npu.read(kStatus, 0) == 0 && npu.next() == kNever && !npu.busy());
    CHECK(npu.read(kAcquire, 0) == 0 && npu.read(kStatus, 0) == 0x001);
    CHECK(npu.read(kAcquire, 0) == 0xfffffffe);
    submit(npu, small_job(), 100);
    CHECK(npu.busy() && npu.next() == 101);
    CHECK(npu.read(kAcquire, 0) == 1 && npu.read(kStatus, 0) == 0x101);
    submit(npu, small_job(), 100);
    CHECK(npu.read(kAcquire, 0) == 0xffffffff);
    finish(npu);
    // 125 cycles, of which the event comes one before the end; the second job ends as many after the first
    CHECK(host.events == (std::vector<Cycle>{100 + 124, 100 + 124 + 125}));
    CHECK(npu.read(kStatus, 0) == 0 && npu.read(kRunning, 0) == 1 && npu.counters().jobs == 2);
    CHECK(npu.counters().weight_words == 64 && npu.counters().macs_raw == 2 * 32 * 32 && host.warnings.empty());
    CHECK(npu.read(kAcquire, 0) == 2);
}

void job_ids_wrap_and_running_is_signed() {
    Host host;
    Neureka npu(host, Timing::gvsoc);
    for (std::uint32_t job = 0; job < 258; job++) {
        CHECK(npu.read(kAcquire, 0) == job % 256);
        submit(npu, small_job(), 1000 * (job + 1));
        finish(npu);
        if (job == 200) CHECK(npu.read(kRunning, 0) == 0xffffffc8);
    }
}

void commit_only_waits_for_a_run() {
    Host host;
    Neureka npu(host, Timing::gvsoc);
    npu.read(kAcquire, 0);
    submit(npu, small_job(), 10, 1);
    CHECK(npu.next() == kNever && !npu.busy());
    npu.read(kAcquire, 0);
    submit(npu, small_job(), 20, 0);
    finish(npu);
    CHECK(host.events.size() == 2);
}

void registers_read_back() {
    Host host;
    Neureka npu(host, Timing::gvsoc);
    for (std::uint32_t i = 0; i < 24; i++) npu.write(kJob + 4 * i, 1000 + i, 0);
    for (std::uint32_t i = 0; i < 24; i++) CHECK(npu.read(kJob + 4 * i, 0) == 1000 + i && npu.read(kJob + 96 + 4 * i, 0) == 1000 + i);
    npu.write(kTrigger, 1, 0);                             // the other context now
    CHECK(npu.read(kJob, 0) == 0 && npu.read(kJob + 96, 0) == 1000);
    for (std::uint32_t offset = 0; offset < 0x400; offset += 4) npu.read(offset, 0);
}

// Random registers, near a legal job or not at all: no crash, no access outside, time moves on.
void wild_jobs() {
    std::mt19937 generator(1);
    const auto random = [&generator] { return static_cast<std::uint32_t>(generator()); };
    Host host;
    for (int trial = 0; trial < 4000; trial++) {
        Neureka npu(host, Timing::chip);
        neureka::Registers registers = small_job();
        const std::uint32_t changes = random() % 24;
        for (std::uint32_t i = 0; i < changes; i++) {
            std::uint32_t &r = registers[random() % registers.size()];
            r = random() % 3 ? (random() & 0x00070007) | (random() & 0x1f) << (random() % 20) : random();
        }
        npu.read(kAcquire, 0);
        submit(npu, registers, 5);
        finish(npu, 3000);
    }
}

}  // namespace

int main() {
    queue_of_two();
    job_ids_wrap_and_running_is_signed();
    commit_only_waits_for_a_run();
    registers_read_back();
    wild_jobs();
    return check::failures != 0;
}
