/* The blocking of products by rows, whatever the weights are: a file of kernels defines `sums` (a block of them) and
 * `panel_bytes` (of 16 rows), then includes this once. */
#include "tw_rows.h"

/* Four tokens share a panel of weights; what is left takes four panels at a time, then single ones. */
static void product(const int8_t *restrict x, const int8_t *restrict w, const tw_sink *to, int tokens, int cols)
{
    int together = tokens - tokens % TW_BLOCK, panel = panel_bytes(cols), rows = to->rows;
    tw_lanes acc[TW_BLOCK];
    for (int r = 0; r < rows && together > 0; r += TW_LANES)
        for (int t = 0; t < together; t += TW_BLOCK) {
            sums(TW_BLOCK, 1, x + t * cols, w + r / TW_LANES * panel, acc, cols);
            for (int i = 0; i < TW_BLOCK; i++)
                tw_finish(to, acc[i], t + i, r);
        }
    for (int t = together; t < tokens; t++)
        for (int r = 0; r < rows;) {
            int panels = rows - r > (TW_BLOCK - 1) * TW_LANES ? TW_BLOCK : 1;
            if (panels == TW_BLOCK)
                sums(1, TW_BLOCK, x + t * cols, w + r / TW_LANES * panel, acc, cols);
            else
                sums(1, 1, x + t * cols, w + r / TW_LANES * panel, acc, cols);
            for (int p = 0; p < panels; p++, r += TW_LANES)
                tw_finish(to, acc[p], t, r);
        }
}
