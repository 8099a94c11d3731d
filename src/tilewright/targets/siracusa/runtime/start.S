# Siracusa: where the fabric controller and the cluster's cores begin.
    .section .text.start, "ax"
    .globl _start
_start:
    la   sp, tw_fc_stack_top
    la   t0, tw_bss_begin
    la   t1, tw_bss_end
1:  bgeu t0, t1, 2f
    sw   zero, 0(t0)
    addi t0, t0, 4
    j    1b
2:  call tw_fabric_main
    li   t0, 0x1a1040a0             # the chip's status register: bit 31 ends the run
    li   t1, 0x80000000
    or   a0, a0, t1
    sw   a0, 0(t0)
3:  j    3b

    .balign 256                     # boot addresses of the cluster's cores
    .globl tw_cluster_start
tw_cluster_start:
    csrr a0, 0xf14                  # cluster << 5 | core
    andi a0, a0, 31
    la   sp, tw_stacks_top          # a stack per core, core 0's uppermost and largest
    beqz a0, 5f
    li   t1, TW_FIRST_STACK
    sub  sp, sp, t1
    addi t0, a0, -1
    li   t1, TW_CORE_STACK
    mul  t1, t1, t0
    sub  sp, sp, t1
5:
    call tw_cluster_main
4:  j    4b
