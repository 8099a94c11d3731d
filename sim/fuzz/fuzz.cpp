// Fuzzing in one process over the library entry: mutated ELF files and random code, every run with reports and observers.
//   siracusa-fuzz [--count N] [--seed S] [SEED.elf ...]
// A crash, a sanitizer report or a run of more than 20 seconds is a failure; its seed is printed and reproduces it:
//   siracusa-fuzz --seed S --count 1 [the same files]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

#include "disasm.hpp"
#include "machine.hpp"
#include "perfetto.hpp"
#include "profile.hpp"
#include "visits.hpp"
#include "report.hpp"
#include "trace.hpp"

// The chip's memories are allocated anew for every run: big blocks are kept for the next one, else the pages that the
// system hands out and takes back would be most of the time.
namespace {
constexpr std::size_t kBig = 1u << 18;
std::vector<std::pair<std::size_t, void *>> &kept_blocks() {
    static auto *blocks = new std::vector<std::pair<std::size_t, void *>>;
    return *blocks;
}
}  // namespace
void *operator new(std::size_t size) {
    if (size >= kBig) {
        auto &blocks = kept_blocks();
        for (auto &block : blocks) {
            if (block.first != size) continue;
            void *found = block.second;
            block = blocks.back();
            blocks.pop_back();
            return found;
        }
    }
    void *fresh = std::malloc(size);
    if (fresh == nullptr) throw std::bad_alloc();
    return fresh;
}
void *operator new(std::size_t size, const std::nothrow_t &) noexcept { return std::malloc(size); }
void operator delete(void *block, std::size_t size) noexcept {
    if (size >= kBig && kept_blocks().size() < 8) kept_blocks().emplace_back(size, block);
    else std::free(block);
}
void operator delete(void *block) noexcept { std::free(block); }

namespace {

using namespace siracusa;
using Bytes = std::vector<std::uint8_t>;
using u32 = std::uint32_t;

volatile std::uint64_t current_seed = 0;
std::uint64_t endings[8];

void failed(int signal) {
    char text[96];
    const int length = std::snprintf(text, sizeof text, "FAILED with signal %d at --seed %llu\n", signal, static_cast<unsigned long long>(current_seed));
    if (write(2, text, static_cast<std::size_t>(length)) < 0) _exit(2);
    _exit(1);
}

class Fuzz {
  public:
    explicit Fuzz(std::uint64_t seed) : random_(seed) {}
    u32 bits() { return static_cast<u32>(random_()); }
    u32 below(u32 limit) { return bits() % limit; }
    bool chance(u32 percent) { return below(100) < percent; }
    // A number that breaks things more often than a random one.
    u32 nasty() {
        static const u32 kNasty[] = {0, 1, 2, 3, 4, 15, 16, 0x7f, 0xff, 0x1000, 0x3ffff, 0x40000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff,
                                     0x10000000, 0x1003fffc, 0x10040000, 0x10100000, 0x10200000, 0x10204000, 0x10400000, 0x10bffffe, 0x1c000000, 0x1c1ffffe};
        return chance(60) ? kNasty[below(sizeof kNasty / sizeof *kNasty)] : bits();
    }

    u32 instruction() {
        const u32 choice = below(100);
        if (choice < 12) return bits();
        if (choice < 22) return 0x00010000u * (bits() & 0xfffc) | (bits() & 0xffff);          // often compressed
        const auto op = static_cast<Op>(1 + below(static_cast<u32>(Op::count_) - 1));
        const InsnInfo &row = info(op);
        u32 word = row.match | (bits() & ~row.mask);
        if ((row.form == Form::branch || row.form == Form::branch_imm) && chance(80)) word &= 0x01fff0ffu | 0x00000f00u;   // short, forward
        if (row.form == Form::jal && chance(80)) word = (word & 0xfff) | below(64) << 21;
        if ((row.form == Form::load || row.form == Form::store) && chance(70)) word = (word & ~(31u << 15)) | (5 + below(11)) << 15;
        return word;
    }

    // lui and addi.
    static void load_constant(std::vector<u32> &code, u32 rd, u32 value) {
        code.push_back(((value + 0x800) & 0xfffff000u) | rd << 7 | 0x37);
        code.push_back((value & 0xfff) << 20 | rd << 15 | rd << 7 | 0x13);
    }
    static void store_word(std::vector<u32> &code, u32 base, u32 source, u32 offset) {
        code.push_back((offset >> 5 & 127) << 25 | source << 20 | base << 15 | 2 << 12 | (offset & 31) << 7 | 0x23);
    }

    // Code for the fabric controller that starts the cluster on random code, or random code alone; registers hold
    // addresses of devices and memories, the N-EUREKA registers random or plausible values.
    std::vector<u32> program() {
        static const u32 kBases[] = {0x10000000, 0x10001000, 0x10100000, 0x10200000, 0x10200400, 0x10200800, 0x10201000, 0x10201020,
                                     0x10201400, 0x10201800, 0x10204000, 0x10204200, 0x10204400, 0x10400000, 0x1c010000, 0x1a100000, 0x1a10b000};
        std::vector<u32> code;
        const bool cluster = chance(70);
        if (cluster) {
            load_constant(code, 5, 0x10200000);
            load_constant(code, 6, kCluster);
            for (u32 core = 0; core < 9; core++) store_word(code, 5, 6, 0x40 + 4 * core);
            load_constant(code, 7, 0x10201400);
            if (chance(80)) store_word(code, 7, 5, 0);
            load_constant(code, 6, chance(50) ? 0xff : bits() & 0x1ff);
            store_word(code, 5, 6, 8);
            while (code.size() < (kCluster - kEntry) / 4) code.push_back(chance(30) ? instruction() : 0x0000006f);
        }
        for (u32 reg = 5; reg < 16; reg++) load_constant(code, reg, chance(85) ? kBases[below(sizeof kBases / sizeof *kBases)] + (chance(20) ? below(64) : 0) : nasty());
        if (chance(40)) npu_job(code);
        if (chance(30)) dma_transfer(code);
        const u32 length = 8 + below(200);
        for (u32 k = 0; k < length; k++) code.push_back(instruction());
        return code;
    }

    void npu_job(std::vector<u32> &code) {
        load_constant(code, 16, 0x10201000);
        code.push_back(4u << 20 | 16u << 15 | 2u << 12 | 17u << 7 | 3);                       // acquire
        for (u32 k = 0; k < 24; k++) {
            u32 value = chance(70) ? below(8) << 16 | below(8) : nasty();
            if (k < 6) value = chance(80) ? below(0x3ffff) : nasty();
            if (k == 23) value = bits() & (chance(50) ? 0x07ffffff : 0xffffffff);
            load_constant(code, 17, value);
            store_word(code, 16, 17, 0x20 + 4 * k);
        }
        store_word(code, 16, 0, 0);
    }

    void dma_transfer(std::vector<u32> &code) {
        load_constant(code, 16, 0x10204400);
        code.push_back(16u << 15 | 2u << 12 | 17u << 7 | 3);                                  // a counter
        for (u32 k = 0; k < 2 + below(12); k++) {
            load_constant(code, 17, k % 3 == 0 ? bits() & 0x00ffffff : nasty());
            store_word(code, 16, 17, 0);
        }
    }

    static constexpr u32 kEntry = 0x1c010000, kCluster = 0x1c010100;

    Bytes elf(const std::vector<u32> &code) {
        Bytes image(52 + 32 + code.size() * 4, 0);
        const auto put = [&](std::size_t at, u32 value, std::size_t size = 4) { std::memcpy(image.data() + at, &value, size); };
        std::memcpy(image.data(), "\177ELF\1\1\1", 7);
        put(16, 2, 2), put(18, 243, 2), put(20, 1), put(24, kEntry), put(28, 52), put(40, 52, 2), put(42, 32, 2), put(44, 1, 2), put(46, 40, 2);
        put(52, 1), put(56, 84), put(60, kEntry), put(64, kEntry), put(68, static_cast<u32>(code.size() * 4)), put(72, static_cast<u32>(code.size() * 4));
        std::memcpy(image.data() + 84, code.data(), code.size() * 4);
        return image;
    }

    void mutate(Bytes &image) {
        if (image.empty()) return;
        for (u32 count = 1 + below(8); count > 0; count--) {
            const u32 size = static_cast<u32>(image.size());
            switch (below(6)) {
                case 0: image[below(size)] ^= static_cast<std::uint8_t>(1u << below(8)); break;
                case 1: image[below(size)] = static_cast<std::uint8_t>(bits()); break;
                case 2: patch(image, below(size), nasty()); break;
                case 3: patch(image, 16 + below(36), nasty()); break;                         // the ELF header
                case 4: patch(image, 52 + 4 * below(24), nasty()); break;                     // program headers, where they mostly are
                default:
                    if (chance(20)) image.resize(below(size) + 1);
                    break;
            }
        }
    }
    static void patch(Bytes &image, std::size_t at, u32 value) {
        for (std::size_t k = 0; k < 4 && at + k < image.size(); k++) image[at + k] = static_cast<std::uint8_t>(value >> (8 * k));
    }

    Options options() {
        Options o;
        o.timing = chance(50) ? Timing::chip : Timing::gvsoc;
        o.xpulpnn = chance(30), o.strict = chance(20);
        o.max_cycles = 500 + below(4000);
        return o;
    }

  private:
    std::mt19937_64 random_;
};

void run(Fuzz &fuzz, Bytes image, std::FILE *sink) {
    std::string error;
    const Options options = fuzz.options();
    auto machine = std::make_unique<Machine>(options);
    if (!machine->load(std::move(image), error)) {
        endings[7]++;
        return;
    }
    std::size_t printed = 0, warned = 0;
    machine->soc.output = [&](const char *, std::size_t size) { printed += size; };
    machine->soc.warning = [&](const std::string &text) { warned += text.size(); };
    Tracer tracer(sink, machine->elf, machine->soc, {});
    Profiler profiler(machine->elf);
    const u32 observed = fuzz.below(10);
    if (observed == 0) machine->soc.observer = &tracer;
    if (observed == 1) machine->soc.observer = &profiler;
    std::vector<std::string> functions;
    for (const Symbol &symbol : machine->elf.symbols) functions.push_back(symbol.name);
    Visits visits(machine->soc, machine->elf, functions);
    if (observed == 2) machine->soc.observer = &visits;
    const Ending ending = machine->soc.run();
    endings[static_cast<std::size_t>(ending)]++;
    if (ending == Ending::cycle_limit) machine->soc.run(100);
    const std::size_t text = ending_report(*machine).size() + json_report(*machine, options, energy_constants(), 0, &visits).size() + profiler.text().size();
    if (text == 0 || machine->soc.ending() == Ending::running) std::abort();
}

}  // namespace

int main(int count, char **words) {
    std::uint64_t runs = 100000, seed = 1;
    std::vector<Bytes> seeds;
    for (int k = 1; k < count; k++) {
        const std::string word = words[k];
        if (word == "--count" && k + 1 < count) runs = std::strtoull(words[++k], nullptr, 0);
        else if (word == "--seed" && k + 1 < count) seed = std::strtoull(words[++k], nullptr, 0);
        else {
            std::string error;
            seeds.emplace_back();
            if (!read_file(word, seeds.back(), error)) {
                std::fprintf(stderr, "%s\n", error.c_str());
                return 2;
            }
        }
    }
    for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM}) std::signal(signal, failed);
    std::FILE *sink = std::fopen("/dev/null", "w");
    for (std::uint64_t k = 0; k < runs; k++) {
        current_seed = seed + k;
        alarm(20);
        Fuzz fuzz(current_seed);
        Bytes image;
        if (!seeds.empty() && fuzz.chance(30)) image = seeds[fuzz.below(static_cast<u32>(seeds.size()))];
        else image = fuzz.elf(fuzz.program());
        if (fuzz.chance(50)) fuzz.mutate(image);
        run(fuzz, std::move(image), sink);
        if ((k + 1) % 10000 == 0) std::fprintf(stderr, "%llu runs\n", static_cast<unsigned long long>(k + 1));
    }
    std::printf("%llu runs: %llu exits, %llu faults, %llu deadlocks, %llu at the cycle limit, %llu files refused; no crash, no hang\n",
                static_cast<unsigned long long>(runs), static_cast<unsigned long long>(endings[1]), static_cast<unsigned long long>(endings[2]),
                static_cast<unsigned long long>(endings[3]), static_cast<unsigned long long>(endings[4]), static_cast<unsigned long long>(endings[7]));
    return 0;
}
