// One core: registers, fetch buffer, hardware loops, counters; and its instructions in executable form.
#pragma once
#include <array>
#include <cstdint>

#include "isa.hpp"
#include "types.hpp"

namespace siracusa {

class Soc;
struct Core;
struct Insn;

// Executes one instruction and returns the next pc. Adds to Core::stall what it costs beyond one cycle.
using Execute = std::uint32_t (*)(Core &, const Insn &);

// One decoded instruction in the code cache. execute == nullptr: not decoded yet.
struct Insn {
    Execute execute = nullptr;
    std::int32_t imm = 0;
    std::uint8_t rd = 0, rs1 = 0, rs2 = 0, rs3 = 0;   // rd of integer results: 32 instead of 0, a register nobody reads
    std::uint64_t uses = 0;        // registers read: bits 0..31 integer, 32..63 float
    Op op = Op::illegal;
    std::uint8_t length = 4, imm2 = 0;
    std::uint8_t writes = 0;       // integer register written, 0 for none (chip timing of jalr)
};
static_assert(sizeof(Insn) == 40 || sizeof(Insn) == 32);

// Events of the performance counters, in the order of PCER.
enum Event : std::uint8_t { kCycles, kInstructions, kLoadStall, kJumpStall, kFetchStall, kLoads, kStores, kJumps, kBranches, kTaken, kCompressed, kElw, kEvents };

enum class CoreState : std::uint8_t { off, running, asleep, done };

// What a sleeping core waits for, for the deadlock report.
enum class Waiting : std::uint8_t { nothing, event, barrier, mutex, dispatch, dma_counter, dma_queue, interrupt };

struct Core {
    std::array<std::uint32_t, 33> x{};
    std::array<std::uint32_t, 32> f{};
    std::uint32_t pc = 0;
    std::uint32_t stall = 0;             // of the instruction being executed
    Cycle next = kNever;                 // cycle of the next instruction in the core's own clock; while executing: of this one
    std::uint64_t late = 0;              // register whose value arrives late (bit as in Insn::uses), seen by the next instruction only
    Cycle late_at = 0;                   // cycle from which it can be used without a stall
    std::uint32_t late_counts = 1;       // whether that stall is counted as a load stall
    std::uint32_t line = 1;              // address of the 16-byte line in the fetch buffer; 1: none
    std::uint32_t page = 1;              // base of the code page that `code` points to; 1: none
    Insn *code = nullptr;
    std::array<std::uint32_t, 2> loop_start{}, loop_end{}, loop_count{};
    std::array<std::uint64_t, kEvents> n{};   // always counted; the CSRs show differences of them
    Soc *soc = nullptr;
    Tcdm *tcdm = nullptr;                // cluster cores only; nullptr: no direct path to L1
    std::uint8_t *l1 = nullptr;
    int id = 0;                          // 0..8 cluster, kFabric
    CoreState state = CoreState::off;
    Waiting waiting = Waiting::nothing;
    std::uint32_t waiting_for = 0;       // barrier or mutex number, event mask
    bool chip = false;                   // --timing chip
    std::uint8_t just_written = 0;       // integer register written by the previous instruction
    std::uint8_t wake_register = 32;     // where the value of a pending load goes
    std::uint32_t wake_value = 0;        // with woken_at: the event came before the instruction had ended
    Cycle woken_at = kNever;
    std::uint32_t boot = 0;
    Cycle slept_at = 0, asleep = 0;
    // CSRs
    std::array<std::uint64_t, kEvents> counter{}, mark{};
    std::uint32_t pcer = 0, pcmr = 0, fcsr = 0, mstatus = 0x1800, mtvec = 0, mepc = 0, mcause = 0, mscratch = 0;
    std::array<std::uint32_t, 6> nn{};   // XpulpNN: two activation and four weight registers

    std::uint32_t hart() const { return id == kFabric ? 31u << 5 : static_cast<std::uint32_t>(id); }
};

// The executable form of a decoded word.
Insn prepare(const Fields &fields);
Execute executor(Op op);

// A stop with a report: exit status 3.
struct Fault {
    int core;                 // -1: none (an engine)
    std::uint32_t pc, address;
    const char *what;
};

std::uint32_t read_csr(Core &core, std::uint32_t csr);
void write_csr(Core &core, std::uint32_t csr, std::uint32_t value);

}  // namespace siracusa
