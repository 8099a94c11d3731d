// Visits of chosen functions: which functions they call, when each call begins and ends, the transfers and the energy between.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "elf.hpp"
#include "energy.hpp"
#include "soc.hpp"

namespace siracusa {

// Keeps the latest visit of each function by each cluster core. A visit begins with the function's first instruction and ends
// when control is back at its caller; a call likewise, a tail call included. Times are cluster cycles.
class Visits final : public Observer {
  public:
    // Functions without a symbol in the file are left out.
    Visits(const Soc &soc, const Elf &elf, const std::vector<std::string> &functions);
    void before(const Core &core, const Insn &insn) override;
    void dma(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) override;
    void npu(Cycle asked, Cycle begin, Cycle end, const std::string &what) override;

    // An array with an object per function: its name, visits by core, and the transfers, N-EUREKA's jobs (when each was
    // triggered, began and ended) and energy of core 0's visit.
    std::string json(const std::vector<EnergyConstant> &constants) const;

  private:
    struct Call {
        const Symbol *symbol;
        Cycle begin, end;
    };
    struct Visit {
        Cycle begin = 0, end = 0;        // end 0: not yet
        std::vector<Call> calls;
    };
    struct Transfer {
        Cycle begin, end;
        bool to_l1;
        std::uint32_t bytes;
    };
    struct Function {
        const Symbol *symbol;
        std::array<Visit, kClusterCores> visits{};
        std::vector<Transfer> transfers{};
        std::vector<std::array<Cycle, 3>> jobs{};
        Activity at_begin{}, at_end{};
    };
    // Where a core is: outside, in a function (`back`, `stack`: as its caller left them), or in something that it calls.
    struct Place {
        Function *function = nullptr;
        std::uint32_t back = 0, stack = 0;
        bool calling = false;
        std::uint32_t call_back = 0, call_stack = 0;
    };
    void enter(Place &place, const Core &core);
    void leave(Place &place, const Core &core);

    const Soc &soc_;
    const Elf &elf_;
    std::vector<Function> functions_;
    std::array<Place, kClusterCores> places_{};
};

}  // namespace siracusa
