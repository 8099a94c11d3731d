// Caches and banks: replacement sequence, latencies of hits and misses, waiting for a refill, first come first served.
#include <vector>

#include "check.hpp"
#include "icache.hpp"
#include "l2_banks.hpp"

using namespace siracusa;

namespace {

constexpr std::uint32_t kPath = 14;
std::uint32_t path() { return kPath; }

// From power-up the victims of one set are ways 0 1 3 2 1 3 3 3 2 1 2 1 3 2 0 0 ...; invalid ways are not preferred.
void replacement_sequence() {
    const std::vector<int> kVictims{0, 1, 3, 2, 1, 3, 3, 3, 2, 1, 2, 1, 3, 2, 0, 0, 0, 0, 1, 2, 1, 2, 1, 2};
    LineCache cache(1);
    std::vector<std::uint32_t> ways(4, ~0u);
    for (std::size_t k = 0; k < kVictims.size(); k++) {
        const auto line = static_cast<std::uint32_t>(100 + k);
        const Cycle now = 1000 * (k + 1);
        CHECK(cache.access(line, 2, now, path) == kPath + 2);
        ways[static_cast<std::size_t>(kVictims[k])] = line;
        for (const std::uint32_t held : ways) {
            if (held != ~0u) CHECK(cache.access(held, 2, now + 500, [] { return 99u; }) == 0);
        }
    }
    CHECK(cache.misses() == kVictims.size());
}

void latencies() {
    ClusterCache caches;
    CHECK(caches.fetch(0, 0x1c010000, 0, path) == kPath);                 // disabled: straight to memory
    caches.enabled = true;
    CHECK(caches.fetch(0, 0x1c010000, 100, path) == 19);                  // both levels miss
    CHECK(caches.fetch(0, 0x1c010000, 200, path) == 0);
    CHECK(caches.fetch(1, 0x1c010000, 200, path) == 2);                   // another core: shared level hits
    CHECK(caches.fetch(2, 0x1c010020, 300, path) == 19);
    CHECK(caches.fetch(3, 0x1c010020, 305, path) == 17 - 5 + 2);          // the same line, still being refilled
    CHECK(caches.fetch(4, 0x1c010040, 306, path) == 17 - 6 + 19);         // the same bank is busy
    CHECK(caches.fetch(5, 0x1c010050, 306, path) == 19);                  // the other one is not
    caches.flush();
    CHECK(caches.fetch(0, 0x1c010000, 900, path) == 19);
}

void l1_banks() {
    std::vector<std::uint8_t> bytes(kL1Size);
    Tcdm tcdm(bytes.data());
    for (std::uint32_t core = 0; core < 8; core++) CHECK(tcdm.access_word(0x100, 50) == core);
    CHECK(tcdm.access_word(0x104, 50) == 0);
    CHECK(tcdm.access_word(0x100, 58) == 0);
    CHECK(tcdm.access(0x100, 36, 70) == 0);                               // nine words, nine banks
    CHECK(tcdm.access_word(0x100, 70) == 1);
    CHECK(tcdm.access_word(0x124, 70) == 0);
    CHECK(tcdm.access(0x100 + 62, 4, 90) == 0);                           // across two words
}

void l2_banks() {
    L2Banks chip(Timing::chip);
    CHECK(chip.from_cluster(0x10000, 4, 10) == 0);
    CHECK(chip.from_cluster(0x10010, 4, 10) == 1);                        // the same bank
    CHECK(chip.from_cluster(0x10004, 4, 10) == 0);
    L2Banks reference(Timing::gvsoc);
    CHECK(reference.from_cluster(0x10000, 256, 1000) == 15);              // 16 words per bank
    CHECK(reference.from_cluster(0x10000, 4, 1000) == 16);
    CHECK(reference.from_cluster(0x10000, 1, 1000) == 17);                // a byte waits ...
    CHECK(reference.from_cluster(0x10000, 1, 1000) == 17);                // ... and occupies nothing
    CHECK(reference.from_cluster(0x10000, 4, 1000 + 30) == 0);
}

}  // namespace

int main() {
    replacement_sequence();
    latencies();
    l1_banks();
    l2_banks();
    return check::failures != 0;
}
