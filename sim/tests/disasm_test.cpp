// Disassembly: one instruction of every operand form, the short forms, and words that are none.
#include "disasm.hpp"

#include "check.hpp"

using siracusa::disassemble;

int main() {
    struct Case { std::uint32_t word; const char *text; };
    static constexpr Case kCases[] = {
        {0x00000013, "nop"},
        {0x12345537, "lui a0, 0x12345"},
        {0x0080006f, "j 0x1c010008"},
        {0xff9ff0ef, "jal 0x1c00fff8"},
        {0x00008067, "ret"},
        {0x00050463, "beqz a0, 0x1c010008"},
        {0x00b56463, "bltu a0, a1, 0x1c010008"},
        {0xffc52583, "lw a1, -4(a0)"},
        {0xfeb52e23, "sw a1, -4(a0)"},
        {0x40b50533, "sub a0, a0, a1"},
        {0x01f55513, "srli a0, a0, 31"},
        {0x02b54533, "div a0, a0, a1"},
        {0xf1402573, "csrr a0, mhartid"},
        {0x78002573, "csrr a0, pccr0"},
        {0x0000000f, "fence"},
        {0x00c5f553, "fadd.s fa0, fa1, fa2"},
        {0x68c5f543, "fmadd.s fa0, fa1, fa2, fa3"},
        {0x0045a507, "flw fa0, 4(a1)"},
        {0x00a5a227, "fsw fa0, 4(a1)"},
        {0xc0059553, "fcvt.w.s a0, fa1"},
        {0xa0c5a553, "feq.s a0, fa1, fa2"},
        {0x0045a50b, "p.lw a0, 4(a1!)"},
        {0x20c5f50b, "p.lw a0, a2(a1!)"},
        {0x20c5f503, "p.lw a0, a2(a1)"},
        {0x00a5a22b, "p.sw a0, 4(a1!)"},
        {0x00a5e62b, "p.sw a0, a2(a1!)"},
        {0x00a5e623, "p.sw a0, a2(a1)"},
        {0x21c5e503, "p.elw a0, 540(a1)"},
        {0x0045407b, "lp.setup x0, a0, 0x1c010008"},
        {0x064250fb, "lp.setupi x1, 100, 0x1c010008"},
        {0x0040007b, "lp.starti x0, 0x1c010008"},
        {0x00a0307b, "lp.counti x0, 10"},
        {0x01f52463, "p.beqimm a0, -1, 0x1c010008"},
        {0x42c58533, "p.mac a0, a1, a2"},
        {0x84c5955b, "p.macsN a0, a1, a2, 2"},
        {0x8ac5d55b, "p.macsNR a0, a1, a2, 5"},
        {0x1485d533, "p.clip a0, a1, s0"},
        {0x14859533, "p.clipi a0, a1, 8"},
        {0xc6458533, "p.extracti a0, a1, 3, 4"},
        {0xb8c59557, "pv.sdotsp.b a0, a1, a2"},
        {0x01f5e557, "pv.add.sci.h a0, a1, -2"},
        {0xb215f557, "pv.insert.b a0, a1, 3"},
        {0x852e, "mv a0, a1"},
        {0x4501, "li a0, 0"},
        {0x4108, "lw a0, 0(a0)"},
        {0xffffffff, ".word 0xffffffff"},
        {0x00000000, ".half 0x0000"},
    };
    for (const Case &c : kCases) CHECK_EQUAL(disassemble(c.word, 0x1c010000), c.text);
    return check::failures != 0;
}
