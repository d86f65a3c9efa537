/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VEX-encoded vector instructions that are offered.
 * Source: Intel SDM volume 2, appendix A. Rows are [opcode][prefix]; prefix 0 none, 1 66, 2 F3, 3 F2.
 */
#include "cpu/interp/avx.h"

/* clang-format off */
#define ROW(form, bytes0, feature0, bytes1, feature1, flags) \
	{ AVX_##form, { bytes0, bytes1 }, { AVX_##feature0, AVX_##feature1 }, flags }
/* Both lengths with AVX; the longer one with AVX2; one length only. */
#define BOTH(form, flags) ROW(form, 16, AVX, 32, AVX, flags)
#define INT(form, flags) ROW(form, 16, AVX, 32, AVX2, flags)
#define INT2(form, flags) ROW(form, 16, AVX2, 32, AVX2, flags)
#define L0(form, bytes, flags) ROW(form, bytes, AVX, 0, FEATURE_NONE, flags)
#define L1(form, bytes, feature, flags) ROW(form, 0, FEATURE_NONE, bytes, feature, flags)
#define SIZES(form, bytes0, bytes1, feature1, flags) ROW(form, bytes0, AVX, bytes1, feature1, flags)
#define SCALAR(form, bytes, flags) ROW(form, bytes, AVX, bytes, AVX, AVX_SCALAR | (flags))

#define FP AVX_FP
#define AL AVX_ALIGN
#define IM AVX_IMM
#define CMP AVX_COMPARE
#define MEM AVX_MEM_ONLY
#define REG AVX_REG_ONLY
#define W0 AVX_W0
#define W1 AVX_W1

/* Packed single, packed double, scalar single, scalar double. */
#define FLOAT4(form, flags) \
	{ BOTH(form, FP | (flags)), BOTH(form, FP | (flags)), SCALAR(RVM, 4, FP | (flags)), \
	  SCALAR(RVM, 8, FP | (flags)) }
#define FLOAT2(form, flags) { BOTH(form, flags), BOTH(form, flags) }
#define ONLY_66(row) { { 0 }, row }
#define INTEGER ONLY_66(INT(RVM, 0))
/* Shifts by a count: it is 16 bytes at any length. */
#define SHIFT_COUNT ONLY_66(SIZES(RVM, 16, 16, AVX2, 0))
#define SHIFT_IMM ONLY_66(INT(VM, IM | REG))

static const struct avx_row map_0f[256][4] = {
	[0x10] = { BOTH(RM, 0), BOTH(RM, 0), SCALAR(MOVE, 4, 0), SCALAR(MOVE, 8, 0) },
	[0x11] = { BOTH(MR, 0), BOTH(MR, 0), SCALAR(MOVE_MR, 4, 0), SCALAR(MOVE_MR, 8, 0) },
	[0x12] = { L0(RVM, 8, 0), L0(RVM, 8, MEM), BOTH(RM, 0), SIZES(RM, 8, 32, AVX, 0) },
	[0x13] = { L0(MR, 8, MEM), L0(MR, 8, MEM) },
	[0x14] = FLOAT2(RVM, 0), [0x15] = FLOAT2(RVM, 0),
	[0x16] = { L0(RVM, 8, 0), L0(RVM, 8, MEM), BOTH(RM, 0) },
	[0x17] = { L0(MR, 8, MEM), L0(MR, 8, MEM) },
	[0x28] = FLOAT2(RM, AL), [0x29] = FLOAT2(MR, AL),
	[0x2a] = { { 0 }, { 0 }, SCALAR(R_V_GM, 4, FP | AVX_G_WIDE), SCALAR(R_V_GM, 4, FP | AVX_G_WIDE) },
	[0x2b] = FLOAT2(MR, AL | MEM),
	[0x2c] = { { 0 }, { 0 }, SCALAR(G_RM, 4, FP | AVX_G_WIDE), SCALAR(G_RM, 8, FP | AVX_G_WIDE) },
	[0x2d] = { { 0 }, { 0 }, SCALAR(G_RM, 4, FP | AVX_G_WIDE), SCALAR(G_RM, 8, FP | AVX_G_WIDE) },
	[0x2e] = { SCALAR(RM, 4, FP | CMP), SCALAR(RM, 8, FP | CMP) },
	[0x2f] = { SCALAR(RM, 4, FP | CMP), SCALAR(RM, 8, FP | CMP) },
	[0x50] = FLOAT2(G_RM, REG),
	[0x51] = FLOAT4(RM, 0),
	[0x52] = { BOTH(RM, 0), { 0 }, SCALAR(RVM, 4, 0) },
	[0x53] = { BOTH(RM, 0), { 0 }, SCALAR(RVM, 4, 0) },
	[0x54] = FLOAT2(RVM, 0), [0x55] = FLOAT2(RVM, 0), [0x56] = FLOAT2(RVM, 0),
	[0x57] = FLOAT2(RVM, 0),
	[0x58] = FLOAT4(RVM, 0), [0x59] = FLOAT4(RVM, 0),
	[0x5a] = { SIZES(RM, 8, 16, AVX, FP), BOTH(RM, FP), SCALAR(RVM, 4, FP), SCALAR(RVM, 8, FP) },
	[0x5b] = { BOTH(RM, FP), BOTH(RM, FP), BOTH(RM, FP) },
	[0x5c] = FLOAT4(RVM, 0), [0x5d] = FLOAT4(RVM, 0), [0x5e] = FLOAT4(RVM, 0),
	[0x5f] = FLOAT4(RVM, 0),
	[0x60] = INTEGER, [0x61] = INTEGER, [0x62] = INTEGER, [0x63] = INTEGER, [0x64] = INTEGER,
	[0x65] = INTEGER, [0x66] = INTEGER, [0x67] = INTEGER, [0x68] = INTEGER, [0x69] = INTEGER,
	[0x6a] = INTEGER, [0x6b] = INTEGER, [0x6c] = INTEGER, [0x6d] = INTEGER,
	[0x6e] = ONLY_66(L0(R_GM, 4, AVX_G_WIDE)),
	[0x6f] = { { 0 }, BOTH(RM, AL), BOTH(RM, 0) },
	[0x70] = { { 0 }, INT(RM, IM), INT(RM, IM), INT(RM, IM) },
	[0x71] = SHIFT_IMM, [0x72] = SHIFT_IMM, [0x73] = SHIFT_IMM,
	[0x74] = INTEGER, [0x75] = INTEGER, [0x76] = INTEGER,
	[0x7c] = { { 0 }, BOTH(RVM, FP), { 0 }, BOTH(RVM, FP) },
	[0x7d] = { { 0 }, BOTH(RVM, FP), { 0 }, BOTH(RVM, FP) },
	[0x7e] = { { 0 }, L0(GM_R, 4, AVX_G_WIDE), L0(RM, 8, 0) },
	[0x7f] = { { 0 }, BOTH(MR, AL), BOTH(MR, 0) },
	[0xc2] = FLOAT4(RVM, IM),
	[0xc4] = ONLY_66(L0(R_V_GM, 2, IM | W0)),
	[0xc5] = ONLY_66(L0(G_RM, 0, IM | REG | W0)),
	[0xc6] = FLOAT2(RVM, IM),
	[0xd0] = { { 0 }, BOTH(RVM, FP), { 0 }, BOTH(RVM, FP) },
	[0xd1] = SHIFT_COUNT, [0xd2] = SHIFT_COUNT, [0xd3] = SHIFT_COUNT,
	[0xd4] = INTEGER, [0xd5] = INTEGER,
	[0xd6] = ONLY_66(L0(MR, 8, 0)),
	[0xd7] = ONLY_66(INT(G_RM, REG)),
	[0xd8] = INTEGER, [0xd9] = INTEGER, [0xda] = INTEGER, [0xdb] = INTEGER, [0xdc] = INTEGER,
	[0xdd] = INTEGER, [0xde] = INTEGER, [0xdf] = INTEGER, [0xe0] = INTEGER,
	[0xe1] = SHIFT_COUNT, [0xe2] = SHIFT_COUNT,
	[0xe3] = INTEGER, [0xe4] = INTEGER, [0xe5] = INTEGER,
	[0xe6] = { { 0 }, BOTH(RM, FP), SIZES(RM, 8, 16, AVX, FP), BOTH(RM, FP) },
	[0xe7] = ONLY_66(BOTH(MR, AL | MEM)),
	[0xe8] = INTEGER, [0xe9] = INTEGER, [0xea] = INTEGER, [0xeb] = INTEGER, [0xec] = INTEGER,
	[0xed] = INTEGER, [0xee] = INTEGER, [0xef] = INTEGER,
	[0xf0] = { { 0 }, { 0 }, { 0 }, BOTH(RM, MEM) },
	[0xf1] = SHIFT_COUNT, [0xf2] = SHIFT_COUNT, [0xf3] = SHIFT_COUNT,
	[0xf4] = INTEGER, [0xf5] = INTEGER, [0xf6] = INTEGER,
	[0xf7] = ONLY_66(L0(MASKED_BYTES, 0, REG)),
	[0xf8] = INTEGER, [0xf9] = INTEGER, [0xfa] = INTEGER, [0xfb] = INTEGER, [0xfc] = INTEGER,
	[0xfd] = INTEGER, [0xfe] = INTEGER,
};

#define EXTEND(bytes) ONLY_66(SIZES(RM, bytes, 2 * (bytes), AVX2, 0))
#define FMA_PACKED ONLY_66(ROW(RVM, 16, FMA, 32, FMA, FP))
#define FMA_SCALAR ONLY_66(ROW(RVM, 4, FMA, 4, FMA, FP | AVX_SCALAR | AVX_W_WIDE))

static const struct avx_row map_0f38[256][4] = {
	[0x00] = INTEGER, [0x01] = INTEGER, [0x02] = INTEGER, [0x03] = INTEGER, [0x04] = INTEGER,
	[0x05] = INTEGER, [0x06] = INTEGER, [0x07] = INTEGER, [0x08] = INTEGER, [0x09] = INTEGER,
	[0x0a] = INTEGER, [0x0b] = INTEGER,
	[0x0c] = ONLY_66(BOTH(RVM, W0)), [0x0d] = ONLY_66(BOTH(RVM, W0)),
	[0x0e] = ONLY_66(BOTH(RM, CMP | W0)), [0x0f] = ONLY_66(BOTH(RM, CMP | W0)),
	[0x13] = ONLY_66(ROW(RM, 8, F16C, 16, F16C, FP | W0)),
	[0x16] = ONLY_66(L1(RVM, 32, AVX2, W0)),
	[0x17] = ONLY_66(BOTH(RM, CMP)),
	[0x18] = ONLY_66(SIZES(RM, 4, 4, AVX, W0 | AVX_REG_AVX2)),
	[0x19] = ONLY_66(L1(RM, 8, AVX, W0 | AVX_REG_AVX2)),
	[0x1a] = ONLY_66(L1(RM, 16, AVX, W0 | MEM)),
	[0x1c] = ONLY_66(INT(RM, 0)), [0x1d] = ONLY_66(INT(RM, 0)), [0x1e] = ONLY_66(INT(RM, 0)),
	[0x20] = EXTEND(8), [0x21] = EXTEND(4), [0x22] = EXTEND(2), [0x23] = EXTEND(8),
	[0x24] = EXTEND(4), [0x25] = EXTEND(8),
	[0x28] = INTEGER, [0x29] = INTEGER,
	[0x2a] = ONLY_66(INT(RM, AL | MEM)),
	[0x2b] = INTEGER,
	[0x2c] = ONLY_66(BOTH(MASKED_LOAD, W0 | MEM)), [0x2d] = ONLY_66(BOTH(MASKED_LOAD, W0 | MEM)),
	[0x2e] = ONLY_66(BOTH(MASKED_STORE, W0 | MEM)), [0x2f] = ONLY_66(BOTH(MASKED_STORE, W0 | MEM)),
	[0x30] = EXTEND(8), [0x31] = EXTEND(4), [0x32] = EXTEND(2), [0x33] = EXTEND(8),
	[0x34] = EXTEND(4), [0x35] = EXTEND(8),
	[0x36] = ONLY_66(L1(RVM, 32, AVX2, W0)),
	[0x37] = INTEGER, [0x38] = INTEGER, [0x39] = INTEGER, [0x3a] = INTEGER, [0x3b] = INTEGER,
	[0x3c] = INTEGER, [0x3d] = INTEGER, [0x3e] = INTEGER, [0x3f] = INTEGER, [0x40] = INTEGER,
	[0x41] = ONLY_66(L0(RM, 16, 0)),
	[0x45] = ONLY_66(INT2(RVM, 0)), [0x46] = ONLY_66(INT2(RVM, W0)), [0x47] = ONLY_66(INT2(RVM, 0)),
	[0x58] = ONLY_66(ROW(RM, 4, AVX2, 4, AVX2, W0)), [0x59] = ONLY_66(ROW(RM, 8, AVX2, 8, AVX2, W0)),
	[0x5a] = ONLY_66(L1(RM, 16, AVX2, W0 | MEM)),
	[0x78] = ONLY_66(ROW(RM, 1, AVX2, 1, AVX2, W0)), [0x79] = ONLY_66(ROW(RM, 2, AVX2, 2, AVX2, W0)),
	[0x8c] = ONLY_66(INT2(MASKED_LOAD, MEM)), [0x8e] = ONLY_66(INT2(MASKED_STORE, MEM)),
	[0x90] = ONLY_66(INT2(GATHER, MEM)), [0x91] = ONLY_66(INT2(GATHER, MEM)),
	[0x92] = ONLY_66(INT2(GATHER, MEM)), [0x93] = ONLY_66(INT2(GATHER, MEM)),
	[0x96] = FMA_PACKED, [0x97] = FMA_PACKED, [0x98] = FMA_PACKED, [0x99] = FMA_SCALAR,
	[0x9a] = FMA_PACKED, [0x9b] = FMA_SCALAR, [0x9c] = FMA_PACKED, [0x9d] = FMA_SCALAR,
	[0x9e] = FMA_PACKED, [0x9f] = FMA_SCALAR,
	[0xa6] = FMA_PACKED, [0xa7] = FMA_PACKED, [0xa8] = FMA_PACKED, [0xa9] = FMA_SCALAR,
	[0xaa] = FMA_PACKED, [0xab] = FMA_SCALAR, [0xac] = FMA_PACKED, [0xad] = FMA_SCALAR,
	[0xae] = FMA_PACKED, [0xaf] = FMA_SCALAR,
	[0xb6] = FMA_PACKED, [0xb7] = FMA_PACKED, [0xb8] = FMA_PACKED, [0xb9] = FMA_SCALAR,
	[0xba] = FMA_PACKED, [0xbb] = FMA_SCALAR, [0xbc] = FMA_PACKED, [0xbd] = FMA_SCALAR,
	[0xbe] = FMA_PACKED, [0xbf] = FMA_SCALAR,
	[0xdb] = ONLY_66(ROW(RM, 16, AES, 0, FEATURE_NONE, 0)),
	[0xdc] = ONLY_66(ROW(RVM, 16, AES, 0, FEATURE_NONE, 0)),
	[0xdd] = ONLY_66(ROW(RVM, 16, AES, 0, FEATURE_NONE, 0)),
	[0xde] = ONLY_66(ROW(RVM, 16, AES, 0, FEATURE_NONE, 0)),
	[0xdf] = ONLY_66(ROW(RVM, 16, AES, 0, FEATURE_NONE, 0)),
};

#define COMPARE_STRING ONLY_66(L0(RM, 16, IM | CMP | AVX_STRING | AVX_G_WIDE))

static const struct avx_row map_0f3a[256][4] = {
	[0x00] = ONLY_66(L1(RM, 32, AVX2, IM | W1)), [0x01] = ONLY_66(L1(RM, 32, AVX2, IM | W1)),
	[0x02] = ONLY_66(INT2(RVM, IM | W0)),
	[0x04] = ONLY_66(BOTH(RM, IM | W0)), [0x05] = ONLY_66(BOTH(RM, IM | W0)),
	[0x06] = ONLY_66(L1(RVM, 32, AVX, IM | W0)),
	[0x08] = ONLY_66(BOTH(RM, FP | IM)), [0x09] = ONLY_66(BOTH(RM, FP | IM)),
	[0x0a] = ONLY_66(SCALAR(RVM, 4, FP | IM)), [0x0b] = ONLY_66(SCALAR(RVM, 8, FP | IM)),
	[0x0c] = ONLY_66(BOTH(RVM, IM)), [0x0d] = ONLY_66(BOTH(RVM, IM)),
	[0x0e] = ONLY_66(INT(RVM, IM)), [0x0f] = ONLY_66(INT(RVM, IM)),
	[0x14] = ONLY_66(L0(GM_R, 1, IM | W0)), [0x15] = ONLY_66(L0(GM_R, 2, IM | W0)),
	[0x16] = ONLY_66(L0(GM_R, 4, IM | AVX_G_WIDE)), [0x17] = ONLY_66(L0(GM_R, 4, IM)),
	[0x18] = ONLY_66(L1(RVM, 16, AVX, IM | W0)), [0x19] = ONLY_66(L1(MR, 16, AVX, IM | W0)),
	[0x1d] = ONLY_66(ROW(MR, 8, F16C, 16, F16C, FP | IM | W0)),
	[0x20] = ONLY_66(L0(R_V_GM, 1, IM | W0)), [0x21] = ONLY_66(L0(RVM, 4, IM)),
	[0x22] = ONLY_66(L0(R_V_GM, 4, IM | AVX_G_WIDE)),
	[0x38] = ONLY_66(L1(RVM, 16, AVX2, IM | W0)), [0x39] = ONLY_66(L1(MR, 16, AVX2, IM | W0)),
	[0x40] = ONLY_66(BOTH(RVM, FP | IM)), [0x41] = ONLY_66(L0(RVM, 16, FP | IM)),
	[0x42] = ONLY_66(INT(RVM, IM)),
	[0x44] = ONLY_66(ROW(RVM, 16, PCLMUL, 0, FEATURE_NONE, IM)),
	[0x46] = ONLY_66(L1(RVM, 32, AVX2, IM | W0)),
	[0x4a] = ONLY_66(BOTH(RVMR, IM | W0)), [0x4b] = ONLY_66(BOTH(RVMR, IM | W0)),
	[0x4c] = ONLY_66(INT(RVMR, IM | W0)),
	[0x60] = COMPARE_STRING, [0x61] = COMPARE_STRING, [0x62] = COMPARE_STRING,
	[0x63] = COMPARE_STRING,
	[0xdf] = ONLY_66(ROW(RM, 16, AES, 0, FEATURE_NONE, IM)),
};
/* clang-format on */

const struct avx_row *avx_row(uint8_t map, uint8_t prefix, uint8_t opcode)
{
	static const struct avx_row none;
	unsigned p = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;

	switch (map) {
	case 1:
		return &map_0f[opcode][p];
	case 2:
		return &map_0f38[opcode][p];
	case 3:
		return &map_0f3a[opcode][p];
	}
	return &none;
}
