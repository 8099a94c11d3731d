// A timeline in the Trace Event format, which Perfetto and chrome://tracing read: cores by function, sleeping, DMA, N-EUREKA.
#pragma once
#include <array>
#include <cstdio>
#include <string>

#include "elf.hpp"
#include "soc.hpp"

namespace siracusa {

// Times are cluster cycles, shown as microseconds.
class Timeline final : public Observer {
  public:
    Timeline(std::FILE *file, const Elf &elf);
    void before(const Core &core, const Insn &insn) override;
    void slept(const Core &core, Cycle begin, Cycle end) override;
    void dma(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) override;
    void npu(Cycle asked, Cycle begin, Cycle end, const std::string &what) override;
    void finish(const Soc &soc);       // closes what is open and the file's array

  private:
    struct Track {
        const Symbol *symbol = nullptr;
        std::uint32_t first = 1, last = 0;        // addresses of the function that is open
        Cycle begin = 0;
        bool open = false;
    };
    void close(int core, Cycle end);
    void span(int thread, const std::string &name, Cycle begin, Cycle end, const std::string &arguments = "");

    std::FILE *file_;
    const Elf &elf_;
    std::array<Track, kCores> tracks_{};
    std::array<Cycle, 2> dma_served_{};
    bool first_event_ = true;
};

}  // namespace siracusa
