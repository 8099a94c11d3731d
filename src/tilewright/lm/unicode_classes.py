"""Letters, digits and white space of Unicode, packed: what the word split of GPT-2 asks of a character.

The table is a run-length code over all code points from 0 on: each run is `length << 2 | class`, low seven bits first,
the top bit of a byte saying that more follow. Classes: 0 other, 1 letter (L*), 2 number (N*), 3 white space. It agrees
with the regular expression of the `tokenizers` library (0.23, Unicode 16) on every assigned code point; those that are
unassigned belong to the run in front of them, which halves the table. The same bytes go into the generated C.
"""

from __future__ import annotations

import base64
import functools

OTHER, LETTER, NUMBER, SPACE = range(4)

UNICODE_CLASSES: bytes = base64.b85decode(
    b"Bo{~rJSrS%7-=X6Xa^((90~*l3<d=R4g_5UeFUiv5HUCv90ddggaj1?Ap{i&1q8VR1g!)h!3G$m0h|Jj0ki?F0aPjw2?UJ;1O+?^90@872n9d|"
    b"1bKAj0xUf$g#jc95Dg4j5CtR!3<X?e9H9XO9YCo8=mFUQ3<XF994Qbg1VIqp0R#m=B@`JDDhUW02n8VB0dzGg2n|5p0R#m|Nf0U|1uWeG1O<2*"
    b"5Gn)(LImvrNF6*jNZkPh1!yS{Mg$%N1rXf<1O<E*5H39s-2n&%Km`;H1Rf0#P6Qngl>%@wJi!432{0WbDx3kq0R#yoEg&+L0en(0#Q|Iu%mb|f"
    b"Pz5R&84wW+1q=xs4G=Xj1q3P>?E(aa6EI#uK!F1Uu@eYI2Wb?o0t^m?0W?iGNjOP3(E*GB1rP-cf&oB6l>-Qg0R-6tm;ow*1UiTTT_n{3tO0@n"
    b"90l|Oy#YimDx?8<GzluP0ceo{a5fDpkpT#S0;B;E1Q`Sg44DRi0`(091q>|=H4HTrEetPo3ls;u0S7<^4H^^$Di}eC0|gKT2q^>w3>6p!1O)^I"
    b"1Q7%+2oV$&5CsIz0SOk^7V-hO0$SJ;daxsv2N)3y9S{Zx!2>{n1H1wSzzzox2?k^)92E!-2@v4|5Df(B0tC?n2oflP0l)!4fB`CaA_P8w0V<pU"
    b"K7a~=&H;b|!L$W{0=WSQwFnGBDwP62eF&KXDx3i&2%Q56-2(&-1Q7&XG#V(;0XWG4a6(8K3<U%U1S)YTU1Wg)5WN9#1v&^71Su-L0bC6PArLYU"
    b"T?_>b$pHif3<(Go2n7Uj2rV29FzEsWIT+0YG(v&k0)U7D`49vt1fc|k0j&#2{R4ynG0+3O1VkzvX&7lN=>vcPfe0MJ0VL)DL<-Ocfdd47fdMvA"
    b"1|b@m0VsV0!2txm0f7ZV{RIS_7X%_*2p*jQ<^gRMStbO1gaYva3JHP&1w5evAVNTO3IuhI0U-o&7#2X~0UTi>VIpNf-U8_d8j%4oYS{>a0j&WP"
    b"wF4@BED~%<xB*pefdLHF0cd&z2?!|=wE=(ufdN7ckpVm^5CsUa0SqY&!2viCEGh*A1rUC*0Zgd_9K8WVLKN8n2n9$T7!`Qc1xOJTDip;6PzeMj"
    b"!UeqnqyZ6-0l@)KF+zX=tpPLz9D)LMOfnF$2han70)E8-JOu;=IKl$O0YC)=1#kr@p#dBPR0S-#0Zau*feJ#s0Yn8nf&mDD0k{Lj0aOJfLa6~b"
    b"A%Y4`Jh=jb13^}-0f8XG13<-FJi#GEz2^eLHh~j52*CnEfdN3l0YDKjPPGui27v-zqyxPI1O<o!y#fRUaPi~>(1HQN5P%+n0)PX81%(y_WdwZ$"
    b"WdwZ$WdwZ$WdwZ$Wdte80f0Dx2*3e>2plCk1%wKDNU;GBKEw`z0fGmG0lp8N2PVJ)kpdhQI?NdE0R#>N_5%dQ2Ehlw5H^fg!XSl!zybXKF8"
)


@functools.cache
def class_runs() -> tuple[tuple[int, int, int], ...]:
    """(first, last, class) of every run, in the order of the code points."""
    runs: list[tuple[int, int, int]] = []
    first, value, shift = 0, 0, 0
    for byte in UNICODE_CLASSES:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            runs.append((first, first + (value >> 2) - 1, value & 3))
            first, value, shift = first + (value >> 2), 0, 0
    return tuple(runs)
