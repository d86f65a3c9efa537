/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vector instructions that are offered: SSE to SSE4.2, AES, PCLMULQDQ, SHA, MMX.
 * Source: Intel SDM volume 2, appendix A. Rows are [opcode][prefix]; prefix 0 none, 1 66, 2 F3, 3 F2.
 */
#include "cpu/interp/simd.h"

#define ROW(form, size, feature, flags) { SIMD_##form, size, flags, SIMD_##feature }
#define AL SIMD_ALIGN
#define FP SIMD_FP
#define IM SIMD_IMM
#define CMP SIMD_COMPARE

/* Packed integer: MMX without prefix, SSE2 with 66. */
#define INTEGER                                                                                    \
	{ ROW(X_XM, 8, MMX_BASE, SIMD_MMX), ROW(X_XM, 16, SSE2, AL) }
#define INTEGER_SSE                                                                                \
	{ ROW(X_XM, 8, SSE, SIMD_MMX), ROW(X_XM, 16, SSE2, AL) }
#define INTEGER_SSE2                                                                               \
	{ ROW(X_XM, 8, SSE2, SIMD_MMX), ROW(X_XM, 16, SSE2, AL) }
#define INTEGER_SSSE3                                                                              \
	{ ROW(X_XM, 8, SSSE3, SIMD_MMX), ROW(X_XM, 16, SSSE3, AL) }
#define SHIFT_IMM                                                                                  \
	{ ROW(SHIFT, 0, MMX_BASE, SIMD_MMX | IM), ROW(SHIFT, 0, SSE2, IM) }
/* Floating point: packed single, packed double, scalar single, scalar double. */
#define FLOAT4                                                                                     \
	{ ROW(X_XM, 16, SSE, FP | AL), ROW(X_XM, 16, SSE2, FP | AL), ROW(X_XM, 4, SSE, FP),        \
	  ROW(X_XM, 8, SSE2, FP) }
#define FLOAT2_LOGIC                                                                               \
	{ ROW(X_XM, 16, SSE, AL), ROW(X_XM, 16, SSE2, AL) }

static const struct simd_row map_0f[256][4] = {
	[0x10] = { ROW(X_XM, 16, SSE, 0), ROW(X_XM, 16, SSE2, 0), ROW(X_XM, 4, SSE, 0),
		   ROW(X_XM, 8, SSE2, 0) },
	[0x11] = { ROW(XM_X, 16, SSE, 0), ROW(XM_X, 16, SSE2, 0), ROW(XM_X, 4, SSE, 0),
		   ROW(XM_X, 8, SSE2, 0) },
	[0x12] = { ROW(X_XM, 8, SSE, 0), ROW(X_XM, 8, SSE2, SIMD_MEM_ONLY), ROW(X_XM, 16, SSE3, AL),
		   ROW(X_XM, 8, SSE3, 0) },
	[0x13] = { ROW(XM_X, 8, SSE, SIMD_MEM_ONLY), ROW(XM_X, 8, SSE2, SIMD_MEM_ONLY) },
	[0x14] = FLOAT2_LOGIC,
	[0x15] = FLOAT2_LOGIC,
	[0x16] = { ROW(X_XM, 8, SSE, 0), ROW(X_XM, 8, SSE2, SIMD_MEM_ONLY), ROW(X_XM, 16, SSE3, AL) },
	[0x17] = { ROW(XM_X, 8, SSE, SIMD_MEM_ONLY), ROW(XM_X, 8, SSE2, SIMD_MEM_ONLY) },
	[0x28] = { ROW(X_XM, 16, SSE, AL), ROW(X_XM, 16, SSE2, AL) },
	[0x29] = { ROW(XM_X, 16, SSE, AL), ROW(XM_X, 16, SSE2, AL) },
	[0x2a] = { ROW(X_XM, 8, SSE, FP | SIMD_MMX_RM), ROW(X_XM, 8, SSE2, FP | SIMD_MMX_RM),
		   ROW(X_GM, 4, SSE, FP), ROW(X_GM, 4, SSE2, FP) },
	[0x2b] = { ROW(XM_X, 16, SSE, AL | SIMD_MEM_ONLY), ROW(XM_X, 16, SSE2, AL | SIMD_MEM_ONLY) },
	[0x2c] = { ROW(X_XM, 8, SSE, FP | SIMD_MMX_REG), ROW(X_XM, 16, SSE2, FP | AL | SIMD_MMX_REG),
		   ROW(G_XM, 4, SSE, FP), ROW(G_XM, 8, SSE2, FP) },
	[0x2d] = { ROW(X_XM, 8, SSE, FP | SIMD_MMX_REG), ROW(X_XM, 16, SSE2, FP | AL | SIMD_MMX_REG),
		   ROW(G_XM, 4, SSE, FP), ROW(G_XM, 8, SSE2, FP) },
	[0x2e] = { ROW(X_XM, 4, SSE, FP | CMP | SIMD_SETS_FLAGS),
		   ROW(X_XM, 8, SSE2, FP | CMP | SIMD_SETS_FLAGS) },
	[0x2f] = { ROW(X_XM, 4, SSE, FP | CMP | SIMD_SETS_FLAGS),
		   ROW(X_XM, 8, SSE2, FP | CMP | SIMD_SETS_FLAGS) },
	[0x50] = { ROW(G_XM, 0, SSE, SIMD_REG_ONLY), ROW(G_XM, 0, SSE2, SIMD_REG_ONLY) },
	[0x51] = FLOAT4,
	[0x52] = { ROW(X_XM, 16, SSE, AL), { 0 }, ROW(X_XM, 4, SSE, 0) },
	[0x53] = { ROW(X_XM, 16, SSE, AL), { 0 }, ROW(X_XM, 4, SSE, 0) },
	[0x54] = FLOAT2_LOGIC,
	[0x55] = FLOAT2_LOGIC,
	[0x56] = FLOAT2_LOGIC,
	[0x57] = FLOAT2_LOGIC,
	[0x58] = FLOAT4,
	[0x59] = FLOAT4,
	[0x5a] = { ROW(X_XM, 8, SSE2, FP), ROW(X_XM, 16, SSE2, FP | AL), ROW(X_XM, 4, SSE2, FP),
		   ROW(X_XM, 8, SSE2, FP) },
	[0x5b] = { ROW(X_XM, 16, SSE2, FP | AL), ROW(X_XM, 16, SSE2, FP | AL),
		   ROW(X_XM, 16, SSE2, FP | AL) },
	[0x5c] = FLOAT4,
	[0x5d] = FLOAT4,
	[0x5e] = FLOAT4,
	[0x5f] = FLOAT4,
	[0x60] = { ROW(X_XM, 4, MMX_BASE, SIMD_MMX), ROW(X_XM, 16, SSE2, AL) },
	[0x61] = { ROW(X_XM, 4, MMX_BASE, SIMD_MMX), ROW(X_XM, 16, SSE2, AL) },
	[0x62] = { ROW(X_XM, 4, MMX_BASE, SIMD_MMX), ROW(X_XM, 16, SSE2, AL) },
	[0x63] = INTEGER, [0x64] = INTEGER, [0x65] = INTEGER, [0x66] = INTEGER, [0x67] = INTEGER,
	[0x68] = INTEGER, [0x69] = INTEGER, [0x6a] = INTEGER, [0x6b] = INTEGER,
	[0x6c] = { { 0 }, ROW(X_XM, 16, SSE2, AL) },
	[0x6d] = { { 0 }, ROW(X_XM, 16, SSE2, AL) },
	[0x6e] = { ROW(X_GM, 4, MMX_BASE, SIMD_MMX), ROW(X_GM, 4, SSE2, 0) },
	[0x6f] = { ROW(X_XM, 8, MMX_BASE, SIMD_MMX), ROW(X_XM, 16, SSE2, AL), ROW(X_XM, 16, SSE2, 0) },
	[0x70] = { ROW(X_XM, 8, SSE, SIMD_MMX | IM), ROW(X_XM, 16, SSE2, AL | IM),
		   ROW(X_XM, 16, SSE2, AL | IM), ROW(X_XM, 16, SSE2, AL | IM) },
	[0x71] = SHIFT_IMM, [0x72] = SHIFT_IMM, [0x73] = SHIFT_IMM,
	[0x74] = INTEGER, [0x75] = INTEGER, [0x76] = INTEGER,
	[0x7c] = { { 0 }, ROW(X_XM, 16, SSE3, FP | AL), { 0 }, ROW(X_XM, 16, SSE3, FP | AL) },
	[0x7d] = { { 0 }, ROW(X_XM, 16, SSE3, FP | AL), { 0 }, ROW(X_XM, 16, SSE3, FP | AL) },
	[0x7e] = { ROW(GM_X, 4, MMX_BASE, SIMD_MMX), ROW(GM_X, 4, SSE2, 0), ROW(X_XM, 8, SSE2, 0) },
	[0x7f] = { ROW(XM_X, 8, MMX_BASE, SIMD_MMX), ROW(XM_X, 16, SSE2, AL), ROW(XM_X, 16, SSE2, 0) },
	[0xc2] = { ROW(X_XM, 16, SSE, FP | AL | IM), ROW(X_XM, 16, SSE2, FP | AL | IM),
		   ROW(X_XM, 4, SSE, FP | IM), ROW(X_XM, 8, SSE2, FP | IM) },
	[0xc4] = { ROW(X_GM, 2, SSE, SIMD_MMX | IM), ROW(X_GM, 2, SSE2, IM) },
	[0xc5] = { ROW(G_XM, 0, SSE, SIMD_MMX | IM | SIMD_REG_ONLY),
		   ROW(G_XM, 0, SSE2, IM | SIMD_REG_ONLY) },
	[0xc6] = { ROW(X_XM, 16, SSE, AL | IM), ROW(X_XM, 16, SSE2, AL | IM) },
	[0xd0] = { { 0 }, ROW(X_XM, 16, SSE3, FP | AL), { 0 }, ROW(X_XM, 16, SSE3, FP | AL) },
	[0xd1] = INTEGER, [0xd2] = INTEGER, [0xd3] = INTEGER, [0xd4] = INTEGER_SSE2,
	[0xd5] = INTEGER,
	[0xd6] = { { 0 }, ROW(XM_X, 8, SSE2, 0),
		   ROW(X_XM, 0, SSE2, SIMD_REG_ONLY | SIMD_MMX_RM),
		   ROW(X_XM, 0, SSE2, SIMD_REG_ONLY | SIMD_MMX_REG) },
	[0xd7] = { ROW(G_XM, 0, SSE, SIMD_MMX | SIMD_REG_ONLY), ROW(G_XM, 0, SSE2, SIMD_REG_ONLY) },
	[0xd8] = INTEGER, [0xd9] = INTEGER, [0xda] = INTEGER_SSE, [0xdb] = INTEGER,
	[0xdc] = INTEGER, [0xdd] = INTEGER, [0xde] = INTEGER_SSE, [0xdf] = INTEGER,
	[0xe0] = INTEGER_SSE, [0xe1] = INTEGER, [0xe2] = INTEGER, [0xe3] = INTEGER_SSE,
	[0xe4] = INTEGER_SSE, [0xe5] = INTEGER,
	[0xe6] = { { 0 }, ROW(X_XM, 16, SSE2, FP | AL), ROW(X_XM, 8, SSE2, FP),
		   ROW(X_XM, 16, SSE2, FP | AL) },
	[0xe7] = { ROW(XM_X, 8, SSE, SIMD_MMX | SIMD_MEM_ONLY),
		   ROW(XM_X, 16, SSE2, AL | SIMD_MEM_ONLY) },
	[0xe8] = INTEGER, [0xe9] = INTEGER, [0xea] = INTEGER_SSE, [0xeb] = INTEGER,
	[0xec] = INTEGER, [0xed] = INTEGER, [0xee] = INTEGER_SSE, [0xef] = INTEGER,
	[0xf0] = { { 0 }, { 0 }, { 0 }, ROW(X_XM, 16, SSE3, SIMD_MEM_ONLY) },
	[0xf1] = INTEGER, [0xf2] = INTEGER, [0xf3] = INTEGER, [0xf4] = INTEGER_SSE2,
	[0xf5] = INTEGER, [0xf6] = INTEGER_SSE,
	[0xf7] = { ROW(MASKMOV, 0, SSE, SIMD_MMX | SIMD_REG_ONLY),
		   ROW(MASKMOV, 0, SSE2, SIMD_REG_ONLY) },
	[0xf8] = INTEGER, [0xf9] = INTEGER, [0xfa] = INTEGER, [0xfb] = INTEGER_SSE2,
	[0xfc] = INTEGER, [0xfd] = INTEGER, [0xfe] = INTEGER,
};

#define SSE41_ONLY(size, flags) { { 0 }, ROW(X_XM, size, SSE41, flags) }

static const struct simd_row map_0f38[256][4] = {
	[0x00] = INTEGER_SSSE3, [0x01] = INTEGER_SSSE3, [0x02] = INTEGER_SSSE3,
	[0x03] = INTEGER_SSSE3, [0x04] = INTEGER_SSSE3, [0x05] = INTEGER_SSSE3,
	[0x06] = INTEGER_SSSE3, [0x07] = INTEGER_SSSE3, [0x08] = INTEGER_SSSE3,
	[0x09] = INTEGER_SSSE3, [0x0a] = INTEGER_SSSE3, [0x0b] = INTEGER_SSSE3,
	[0x10] = SSE41_ONLY(16, AL), [0x14] = SSE41_ONLY(16, AL), [0x15] = SSE41_ONLY(16, AL),
	[0x17] = SSE41_ONLY(16, AL | CMP | SIMD_SETS_FLAGS),
	[0x1c] = INTEGER_SSSE3, [0x1d] = INTEGER_SSSE3, [0x1e] = INTEGER_SSSE3,
	[0x20] = SSE41_ONLY(8, 0), [0x21] = SSE41_ONLY(4, 0), [0x22] = SSE41_ONLY(2, 0),
	[0x23] = SSE41_ONLY(8, 0), [0x24] = SSE41_ONLY(4, 0), [0x25] = SSE41_ONLY(8, 0),
	[0x28] = SSE41_ONLY(16, AL), [0x29] = SSE41_ONLY(16, AL),
	[0x2a] = SSE41_ONLY(16, AL | SIMD_MEM_ONLY), [0x2b] = SSE41_ONLY(16, AL),
	[0x30] = SSE41_ONLY(8, 0), [0x31] = SSE41_ONLY(4, 0), [0x32] = SSE41_ONLY(2, 0),
	[0x33] = SSE41_ONLY(8, 0), [0x34] = SSE41_ONLY(4, 0), [0x35] = SSE41_ONLY(8, 0),
	[0x37] = { { 0 }, ROW(X_XM, 16, SSE42, AL) },
	[0x38] = SSE41_ONLY(16, AL), [0x39] = SSE41_ONLY(16, AL), [0x3a] = SSE41_ONLY(16, AL),
	[0x3b] = SSE41_ONLY(16, AL), [0x3c] = SSE41_ONLY(16, AL), [0x3d] = SSE41_ONLY(16, AL),
	[0x3e] = SSE41_ONLY(16, AL), [0x3f] = SSE41_ONLY(16, AL), [0x40] = SSE41_ONLY(16, AL),
	[0x41] = SSE41_ONLY(16, AL),
	[0xc8] = { ROW(X_XM, 16, SHA, AL) }, [0xc9] = { ROW(X_XM, 16, SHA, AL) },
	[0xca] = { ROW(X_XM, 16, SHA, AL) }, [0xcb] = { ROW(X_XM, 16, SHA, AL) },
	[0xcc] = { ROW(X_XM, 16, SHA, AL) }, [0xcd] = { ROW(X_XM, 16, SHA, AL) },
	[0xdb] = { { 0 }, ROW(X_XM, 16, AES, AL) }, [0xdc] = { { 0 }, ROW(X_XM, 16, AES, AL) },
	[0xdd] = { { 0 }, ROW(X_XM, 16, AES, AL) }, [0xde] = { { 0 }, ROW(X_XM, 16, AES, AL) },
	[0xdf] = { { 0 }, ROW(X_XM, 16, AES, AL) },
};

#define COMPARE_STRING                                                                             \
	{ { 0 }, ROW(X_XM, 16, SSE42, IM | CMP | SIMD_SETS_FLAGS | SIMD_STRING) }

static const struct simd_row map_0f3a[256][4] = {
	[0x08] = SSE41_ONLY(16, FP | AL | IM), [0x09] = SSE41_ONLY(16, FP | AL | IM),
	[0x0a] = SSE41_ONLY(4, FP | IM), [0x0b] = SSE41_ONLY(8, FP | IM),
	[0x0c] = SSE41_ONLY(16, AL | IM), [0x0d] = SSE41_ONLY(16, AL | IM),
	[0x0e] = SSE41_ONLY(16, AL | IM),
	[0x0f] = { ROW(X_XM, 8, SSSE3, SIMD_MMX | IM), ROW(X_XM, 16, SSSE3, AL | IM) },
	[0x14] = { { 0 }, ROW(GM_X, 1, SSE41, IM) }, [0x15] = { { 0 }, ROW(GM_X, 2, SSE41, IM) },
	[0x16] = { { 0 }, ROW(GM_X, 4, SSE41, IM) },
	[0x17] = { { 0 }, ROW(GM_X, 4, SSE41, IM | SIMD_DWORD) },
	[0x20] = { { 0 }, ROW(X_GM, 1, SSE41, IM) }, [0x21] = SSE41_ONLY(4, IM),
	[0x22] = { { 0 }, ROW(X_GM, 4, SSE41, IM) },
	[0x40] = SSE41_ONLY(16, FP | AL | IM), [0x41] = SSE41_ONLY(16, FP | AL | IM),
	[0x42] = SSE41_ONLY(16, AL | IM),
	[0x44] = { { 0 }, ROW(X_XM, 16, PCLMUL, AL | IM) },
	[0x60] = COMPARE_STRING, [0x61] = COMPARE_STRING, [0x62] = COMPARE_STRING,
	[0x63] = COMPARE_STRING,
	[0xcc] = { ROW(X_XM, 16, SHA, AL | IM) },
	[0xdf] = { { 0 }, ROW(X_XM, 16, AES, AL | IM) },
};

const struct simd_row *simd_row(uint8_t map, uint8_t prefix, uint8_t opcode)
{
	static const struct simd_row none;
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
