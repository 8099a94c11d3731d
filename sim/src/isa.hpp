// Instructions as data: the table of encodings (isa.def), and decoding of a word into its fields.
#pragma once
#include <cstdint>

namespace siracusa {

// How the operand fields are laid out, hence read, written and printed.
enum class Form : std::uint8_t {
    none,      // fence, ecall, ebreak, ...
    r,         // rd, rs1, rs2
    r1,        // rd, rs1
    i,         // rd, rs1, imm
    shift,     // rd, rs1, shamt
    u,         // rd, imm (already shifted left by 12)
    jal,       // rd, pc + imm
    branch,    // rs1, rs2, pc + imm
    branch_imm,  // rs1, imm2 (signed 5 bit), pc + imm
    load,      // rd, imm(rs1)
    load_post,     // rd, imm(rs1!)
    load_reg,      // rd, rs2(rs1)
    load_post_reg, // rd, rs2(rs1!)
    store,     // rs2, imm(rs1)
    store_post,    // rs2, imm(rs1!)
    store_reg,     // rs2, rs3(rs1)
    store_post_reg,  // rs2, rs3(rs1!)
    csr,       // rd, csr (imm), rs1
    csr_imm,   // rd, csr (imm), imm2
    rd_rs1_rs2,    // rd is also read: rd, rs1, rs2
    rd_rs1_rs2_n,  // rd, rs1, rs2, imm2 (rd read only by mac forms)
    rd_rs1_rs2_rmw_n,  // the same, rd is also read
    lane_s,    // rd, rs1, imm (signed 6 bit, SIMD)
    lane_u,    // rd, rs1, imm (unsigned 6 bit, SIMD)
    lane_rmw_s,    // the same, rd is also read
    lane_rmw_u,
    bits,      // rd, rs1, imm (width - 1), imm2 (position)
    bits_rmw,  // the same, rd is also read
    clip,      // rd, rs1, imm (unsigned 5 bit)
    loop_i,    // loop rd, imm (halfwords): starti, endi, counti
    loop_r,    // loop rd, rs1: count
    loop_setup,    // loop rd, rs1, imm (halfwords)
    loop_setupi,   // loop rd, imm (count), imm2 (halfwords)
    fr,        // fd, fs1, fs2; the rounding mode of float forms is in imm2
    fr1,       // fd, fs1
    fr4,       // fd, fs1, fs2, fs3
    f_to_x,    // rd, fs1
    x_to_f,    // fd, rs1
    f_cmp,     // rd, fs1, fs2
    f_load,    // fd, imm(rs1)
    f_store,   // fs2, imm(rs1)
    qnt,       // rd, rs1, (rs2): XpulpNN
    mlsdot,    // rd, rs1, imm2: XpulpNN, rd and rs1 are read and written
};

enum class Op : std::uint16_t {
    illegal,
#define INSN(op, mnemonic, form, match, mask) op,
#include "isa.def"
#undef INSN
    count_
};

struct InsnInfo {
    Op op;
    const char *mnemonic;
    Form form;
    std::uint32_t match, mask;
};

// A decoded word. Register numbers are 0 for fields that the form does not have.
struct Fields {
    Op op = Op::illegal;
    Form form = Form::none;
    std::uint8_t rd = 0, rs1 = 0, rs2 = 0, rs3 = 0;
    std::uint8_t length = 4;     // bytes: 2 for compressed
    std::uint8_t imm2 = 0;       // signed ones stored as 8-bit two's complement
    std::int32_t imm = 0;
};

// `word`: 32 bits, only the low 16 matter when compressed. Op::illegal when nothing matches.
// XpulpNN encodings are found only with `nn`.
Fields decode(std::uint32_t word, bool nn = false);
const InsnInfo &info(Op op);                     // not for illegal
std::uint32_t expand_compressed(std::uint16_t half, bool with_f = true);  // the 32-bit equivalent, 0 when illegal

}  // namespace siracusa
