// Loads and stores of RV32I, F and XpulpV2; p.elw.
#include "exec.hpp"

namespace siracusa {
namespace {

using u = std::uint32_t;

// How the address is formed and what happens to rs1.
enum class Mode { offset, indexed, post, post_indexed };

template <unsigned Size, bool Signed>
u extend(u value) {
    if constexpr (Signed && Size == 1) return u32(static_cast<std::int8_t>(value));
    else if constexpr (Signed && Size == 2) return u32(static_cast<std::int16_t>(value));
    else return value;
}

// Post-increment with rd = rs1 adds the immediate to the loaded value, as the reference simulator does; with a
// register increment the new address is computed first and overwrites the loaded value.
template <unsigned Size, bool Signed, Mode M>
u load_to(Core &c, const Insn &i) {
    const u base = c.x[i.rs1], index = c.x[i.rs2];
    const u address = M == Mode::offset ? base + u32(i.imm) : M == Mode::indexed ? base + index : base;
    c.x[i.rd] = extend<Size, Signed>(load<Size>(c, address, bit_of(i.rd)));
    if constexpr (M == Mode::post) {
        if (i.rs1 != 0) c.x[i.rs1] += u32(i.imm);
    }
    if constexpr (M == Mode::post_indexed) {
        if (i.rs1 != 0) c.x[i.rs1] = base + index;
    }
    return after(c, i);
}

template <unsigned Size, Mode M>
u store_from(Core &c, const Insn &i) {
    const u base = c.x[i.rs1], index = c.x[i.rs3];
    const u address = M == Mode::offset ? base + u32(i.imm) : M == Mode::indexed ? base + index : base;
    store<Size>(c, address, c.x[i.rs2]);
    if constexpr (M == Mode::post) {
        if (i.rs1 != 0) c.x[i.rs1] = base + u32(i.imm);
    }
    if constexpr (M == Mode::post_indexed) {
        if (i.rs1 != 0) c.x[i.rs1] = base + index;
    }
    return after(c, i);
}

u do_flw(Core &c, const Insn &i) {
    c.f[i.rd] = load<4>(c, c.x[i.rs1] + u32(i.imm), float_bit(i.rd));
    return after(c, i);
}
u do_fsw(Core &c, const Insn &i) {
    store<4>(c, c.x[i.rs1] + u32(i.imm), c.f[i.rs2]);
    return after(c, i);
}

// Two cycles more than a load; the event unit may put the core to sleep on it.
u do_p_elw(Core &c, const Insn &i) {
    c.n[kElw]++;
    c.x[i.rd] = load<4>(c, c.x[i.rs1] + u32(i.imm), bit_of(i.rd));
    c.stall += 2;
    return after(c, i);
}

}  // namespace

Execute memory_executor(Op op) {
    switch (op) {
        case Op::lb: return load_to<1, true, Mode::offset>;
        case Op::lh: return load_to<2, true, Mode::offset>;
        case Op::lw: return load_to<4, false, Mode::offset>;
        case Op::lbu: return load_to<1, false, Mode::offset>;
        case Op::lhu: return load_to<2, false, Mode::offset>;
        case Op::p_lb_rr: return load_to<1, true, Mode::indexed>;
        case Op::p_lh_rr: return load_to<2, true, Mode::indexed>;
        case Op::p_lw_rr: return load_to<4, false, Mode::indexed>;
        case Op::p_lbu_rr: return load_to<1, false, Mode::indexed>;
        case Op::p_lhu_rr: return load_to<2, false, Mode::indexed>;
        case Op::p_lb_post: return load_to<1, true, Mode::post>;
        case Op::p_lh_post: return load_to<2, true, Mode::post>;
        case Op::p_lw_post: return load_to<4, false, Mode::post>;
        case Op::p_lbu_post: return load_to<1, false, Mode::post>;
        case Op::p_lhu_post: return load_to<2, false, Mode::post>;
        case Op::p_lb_rr_post: return load_to<1, true, Mode::post_indexed>;
        case Op::p_lh_rr_post: return load_to<2, true, Mode::post_indexed>;
        case Op::p_lw_rr_post: return load_to<4, false, Mode::post_indexed>;
        case Op::p_lbu_rr_post: return load_to<1, false, Mode::post_indexed>;
        case Op::p_lhu_rr_post: return load_to<2, false, Mode::post_indexed>;
        case Op::sb: return store_from<1, Mode::offset>;
        case Op::sh: return store_from<2, Mode::offset>;
        case Op::sw: return store_from<4, Mode::offset>;
        case Op::p_sb_rr: return store_from<1, Mode::indexed>;
        case Op::p_sh_rr: return store_from<2, Mode::indexed>;
        case Op::p_sw_rr: return store_from<4, Mode::indexed>;
        case Op::p_sb_post: return store_from<1, Mode::post>;
        case Op::p_sh_post: return store_from<2, Mode::post>;
        case Op::p_sw_post: return store_from<4, Mode::post>;
        case Op::p_sb_rr_post: return store_from<1, Mode::post_indexed>;
        case Op::p_sh_rr_post: return store_from<2, Mode::post_indexed>;
        case Op::p_sw_rr_post: return store_from<4, Mode::post_indexed>;
        case Op::flw: return do_flw;
        case Op::fsw: return do_fsw;
        case Op::p_elw: return do_p_elw;
        default: return nullptr;
    }
}

}  // namespace siracusa
