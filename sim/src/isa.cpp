#include "isa.hpp"

#include <array>
#include <vector>

namespace siracusa {
namespace {

constexpr InsnInfo kTable[] = {
#define INSN(op, mnemonic, form, match, mask) {Op::op, mnemonic, Form::form, match, mask},
#include "isa.def"
#undef INSN
};
constexpr std::size_t kCount = sizeof kTable / sizeof kTable[0];
constexpr auto kFirstNn = static_cast<std::size_t>(Op::pv_add_n) - 1;   // XpulpNN rows come last

// Rows by the bits that most of them fix: opcode [6:2] and funct3 [14:12].
class Index {
  public:
    Index() {
        for (std::size_t key = 0; key < buckets_.size(); key++) {
            const auto word = static_cast<std::uint32_t>((key & 31) << 2 | (key >> 5) << 12 | 3);
            for (std::size_t row = 0; row < kCount; row++) {
                const std::uint32_t common = kTable[row].mask & 0x707f;
                if ((word & common) == (kTable[row].match & common)) buckets_[key].push_back(static_cast<std::uint16_t>(row));
            }
        }
    }
    const std::vector<std::uint16_t> &rows(std::uint32_t word) const {
        return buckets_[(word >> 2 & 31) | (word >> 12 & 7) << 5];
    }

  private:
    std::array<std::vector<std::uint16_t>, 256> buckets_;
};

constexpr std::int32_t sign(std::uint32_t value, int bits) {
    return static_cast<std::int32_t>(value << (32 - bits)) >> (32 - bits);
}
constexpr std::int32_t imm_i(std::uint32_t w) { return static_cast<std::int32_t>(w) >> 20; }
constexpr std::int32_t imm_s(std::uint32_t w) { return (static_cast<std::int32_t>(w) >> 25 << 5) | static_cast<std::int32_t>(w >> 7 & 31); }
constexpr std::int32_t imm_b(std::uint32_t w) {
    return sign((w >> 31) << 12 | (w >> 7 & 1) << 11 | (w >> 25 & 63) << 5 | (w >> 8 & 15) << 1, 13);
}
constexpr std::int32_t imm_j(std::uint32_t w) {
    return sign((w >> 31) << 20 | (w >> 12 & 255) << 12 | (w >> 20 & 1) << 11 | (w >> 21 & 1023) << 1, 21);
}
// SIMD immediate: bit 0 is instruction bit 25, bits 5:1 are bits 24:20.
constexpr std::uint32_t imm_lane(std::uint32_t w) { return (w >> 25 & 1) | (w >> 20 & 31) << 1; }

void fill(Fields &f, std::uint32_t w) {
    const auto rd = static_cast<std::uint8_t>(w >> 7 & 31), rs1 = static_cast<std::uint8_t>(w >> 15 & 31);
    const auto rs2 = static_cast<std::uint8_t>(w >> 20 & 31), top = static_cast<std::uint8_t>(w >> 25 & 31);
    switch (f.form) {
        case Form::none: break;
        case Form::fr: f.imm2 = static_cast<std::uint8_t>(w >> 12 & 7); [[fallthrough]];
        case Form::r: case Form::rd_rs1_rs2: case Form::f_cmp: case Form::load_reg: case Form::load_post_reg: case Form::qnt:
            f.rd = rd, f.rs1 = rs1, f.rs2 = rs2; break;
        case Form::fr1: case Form::f_to_x: case Form::x_to_f: f.imm2 = static_cast<std::uint8_t>(w >> 12 & 7); [[fallthrough]];
        case Form::r1: f.rd = rd, f.rs1 = rs1; break;
        case Form::fr4: f.imm2 = static_cast<std::uint8_t>(w >> 12 & 7), f.rd = rd, f.rs1 = rs1, f.rs2 = rs2, f.rs3 = static_cast<std::uint8_t>(w >> 27); break;
        case Form::i: case Form::load: case Form::load_post: case Form::f_load: f.rd = rd, f.rs1 = rs1, f.imm = imm_i(w); break;
        case Form::shift: case Form::clip: f.rd = rd, f.rs1 = rs1, f.imm = rs2; break;
        case Form::u: f.rd = rd, f.imm = static_cast<std::int32_t>(w & 0xfffff000u); break;
        case Form::jal: f.rd = rd, f.imm = imm_j(w); break;
        case Form::branch: f.rs1 = rs1, f.rs2 = rs2, f.imm = imm_b(w); break;
        case Form::branch_imm: f.rs1 = rs1, f.imm2 = static_cast<std::uint8_t>(sign(rs2, 5)), f.imm = imm_b(w); break;
        case Form::store: case Form::store_post: case Form::f_store: f.rs1 = rs1, f.rs2 = rs2, f.imm = imm_s(w); break;
        case Form::store_reg: case Form::store_post_reg: f.rs1 = rs1, f.rs2 = rs2, f.rs3 = rd; break;
        case Form::csr: f.rd = rd, f.rs1 = rs1, f.imm = static_cast<std::int32_t>(w >> 20); break;
        case Form::csr_imm: f.rd = rd, f.imm2 = rs1, f.imm = static_cast<std::int32_t>(w >> 20); break;
        case Form::rd_rs1_rs2_n: case Form::rd_rs1_rs2_rmw_n: f.rd = rd, f.rs1 = rs1, f.rs2 = rs2, f.imm2 = top; break;
        case Form::lane_s: case Form::lane_rmw_s: f.rd = rd, f.rs1 = rs1, f.imm = sign(imm_lane(w), 6); break;
        case Form::lane_u: case Form::lane_rmw_u: f.rd = rd, f.rs1 = rs1, f.imm = static_cast<std::int32_t>(imm_lane(w)); break;
        case Form::bits: case Form::bits_rmw: f.rd = rd, f.rs1 = rs1, f.imm = top, f.imm2 = rs2; break;
        case Form::loop_i: f.rd = rd & 1, f.imm = static_cast<std::int32_t>(w >> 20); break;
        case Form::loop_r: f.rd = rd & 1, f.rs1 = rs1; break;
        case Form::loop_setup: f.rd = rd & 1, f.rs1 = rs1, f.imm = static_cast<std::int32_t>(w >> 20); break;
        case Form::loop_setupi: f.rd = rd & 1, f.imm = static_cast<std::int32_t>(w >> 20), f.imm2 = rs1; break;
        case Form::mlsdot: f.rd = rd, f.rs1 = rs1, f.imm2 = rs2; break;
    }
}

}  // namespace

const InsnInfo &info(Op op) { return kTable[static_cast<std::size_t>(op) - 1]; }

Fields decode(std::uint32_t word, bool nn) {
    static const Index index;
    Fields f;
    if ((word & 3) != 3) {
        f.length = 2;
        word = expand_compressed(static_cast<std::uint16_t>(word));
        if (word == 0) return f;
    }
    for (const std::uint16_t row : index.rows(word)) {
        if ((word & kTable[row].mask) != kTable[row].match || (row >= kFirstNn && !nn)) continue;
        f.op = kTable[row].op, f.form = kTable[row].form;
        fill(f, word);
        break;
    }
    return f;
}

}  // namespace siracusa
