#include "textflag.h"

// Two messages in turn. One SHA-256 leaves the unit idle for half of its time,
// because each step waits for the one before it; a second message fills that.
//
//	       state          words of the block     kept over a block
//	even   X1 ABEF X2 CDGH   X3 X4 X5 X6           0(SP) 16(SP)
//	odd    X7 ABEF X8 CDGH   X9 X10 X11 X12        32(SP) 48(SP)
//
// X0 is the implicit operand of SHA256RNDS2, X13 is scratch, X14 turns the bytes
// of words around, AX points to the constants.

// The four rounds that take the words w plus constants at offset k.
#define ROUNDS(k, w, abef, cdgh) \
	MOVO        w, X0; \
	PADDD       k(AX), X0; \
	SHA256RNDS2 X0, abef, cdgh; \
	PSHUFD      $0x0e, X0, X0; \
	SHA256RNDS2 X0, cdgh, abef

// Words w0 to w3 are the sixteen last ones, oldest first, of which w0 had its
// SHA256MSG1: w0 becomes the four that follow.
#define EXTEND(w0, w2, w3) \
	MOVO       w3, X13; \
	PALIGNR    $4, w2, X13; \
	PADDD      X13, w0; \
	SHA256MSG2 w3, w0

#define BOTH(k, a, b) \
	ROUNDS(k, a, X1, X2); \
	ROUNDS(k, b, X7, X8)

// The sixteen first rounds, of words that are there.
#define FIRST \
	BOTH(0, X3, X9); \
	BOTH(16, X4, X10); \
	SHA256MSG1 X4, X3; \
	SHA256MSG1 X10, X9; \
	BOTH(32, X5, X11); \
	SHA256MSG1 X5, X4; \
	SHA256MSG1 X11, X10; \
	BOTH(48, X6, X12); \
	EXTEND(X3, X5, X6); \
	EXTEND(X9, X11, X12); \
	SHA256MSG1 X6, X5; \
	SHA256MSG1 X12, X11

// Four rounds further on, of w0, which make w1 the words after it.
#define NEXT(k, a0, a1, a3, b0, b1, b3) \
	BOTH(k, a0, b0); \
	EXTEND(a1, a3, a0); \
	EXTEND(b1, b3, b0)

#define NEXTMSG1(k, a0, a1, a3, b0, b1, b3) \
	NEXT(k, a0, a1, a3, b0, b1, b3); \
	SHA256MSG1 a0, a3; \
	SHA256MSG1 b0, b3

#define REST \
	NEXTMSG1(64, X3, X4, X6, X9, X10, X12); \
	NEXTMSG1(80, X4, X5, X3, X10, X11, X9); \
	NEXTMSG1(96, X5, X6, X4, X11, X12, X10); \
	NEXTMSG1(112, X6, X3, X5, X12, X9, X11); \
	NEXTMSG1(128, X3, X4, X6, X9, X10, X12); \
	NEXTMSG1(144, X4, X5, X3, X10, X11, X9); \
	NEXTMSG1(160, X5, X6, X4, X11, X12, X10); \
	NEXTMSG1(176, X6, X3, X5, X12, X9, X11); \
	NEXTMSG1(192, X3, X4, X6, X9, X10, X12); \
	NEXT(208, X4, X5, X3, X10, X11, X9); \
	NEXT(224, X5, X6, X4, X11, X12, X10); \
	BOTH(240, X6, X12)

#define LOAD(src, w0, w1, w2, w3) \
	MOVOU  0(src), w0; \
	MOVOU  16(src), w1; \
	MOVOU  32(src), w2; \
	MOVOU  48(src), w3; \
	PSHUFB X14, w0; \
	PSHUFB X14, w1; \
	PSHUFB X14, w2; \
	PSHUFB X14, w3

#define KEEP \
	MOVOU X1, 0(SP); \
	MOVOU X2, 16(SP); \
	MOVOU X7, 32(SP); \
	MOVOU X8, 48(SP)

#define ADDKEPT \
	MOVOU 0(SP), X13; \
	PADDD X13, X1; \
	MOVOU 16(SP), X13; \
	PADDD X13, X2; \
	MOVOU 32(SP), X13; \
	PADDD X13, X7; \
	MOVOU 48(SP), X13; \
	PADDD X13, X8

#define BEGIN \
	MOVO 256(AX), X1; \
	MOVO 272(AX), X2; \
	MOVO X1, X7; \
	MOVO X2, X8

// The state as the 32 bytes of a digest.
#define STORE(abef, cdgh, dst) \
	PSHUFD  $0x1b, abef, X13; \
	PSHUFD  $0xb1, cdgh, cdgh; \
	MOVO    X13, abef; \
	PBLENDW $0xf0, cdgh, abef; \
	PALIGNR $8, X13, cdgh; \
	PSHUFB  X14, abef; \
	PSHUFB  X14, cdgh; \
	MOVOU   abef, 0(dst); \
	MOVOU   cdgh, 16(dst)

// func sumPairs(dst, src *byte, blocks, pairs int)
TEXT ·sumPairs(SB), NOSPLIT, $64-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ blocks+16(FP), R8
	MOVQ pairs+24(FP), CX
	LEAQ constants<>(SB), AX
	MOVO 288(AX), X14
	MOVQ R8, R9
	SHLQ $6, R9             // bytes of a message

sumPair:
	TESTQ CX, CX
	JZ    sumDone
	LEAQ  (SI)(R9*1), R10   // the odd message
	MOVQ  R8, R11
	BEGIN

sumBlock:
	KEEP
	LOAD(SI, X3, X4, X5, X6)
	LOAD(R10, X9, X10, X11, X12)
	FIRST
	REST
	ADDKEPT
	ADDQ $64, SI
	ADDQ $64, R10
	DECQ R11
	JNZ  sumBlock

	STORE(X1, X2, DI)
	ADDQ $32, DI
	STORE(X7, X8, DI)
	ADDQ $32, DI
	MOVQ R10, SI
	DECQ CX
	JMP  sumPair

sumDone:
	RET

// The sixteen words of 0x01 and 63 bytes at src.
#define LOADNODE(src, w0, w1, w2, w3) \
	MOVOU  0(src), w0; \
	MOVOU  15(src), w1; \
	MOVOU  31(src), w2; \
	MOVOU  47(src), w3; \
	PSLLDQ $1, w0; \
	POR    X15, w0; \
	PSHUFB X14, w0; \
	PSHUFB X14, w1; \
	PSHUFB X14, w2; \
	PSHUFB X14, w3

// The four rounds of the second block of a node, of which the words with their
// constants stand in a table.
#define KNOWN(k, table, abef, cdgh) \
	MOVOU       k(table), X0; \
	SHA256RNDS2 X0, abef, cdgh; \
	PSHUFD      $0x0e, X0, X0; \
	SHA256RNDS2 X0, cdgh, abef

#define BOTHKNOWN(k) \
	KNOWN(k, R10, X1, X2); \
	KNOWN(k, R11, X7, X8)

// The table's entry for the last byte of a node.
#define LOOKUP(src, entry) \
	MOVBLZX 63(src), entry; \
	SHLL    $8, entry; \
	ADDQ    DX, entry

// func nodePairs(dst, src *byte, last *[256][64]uint32, pairs int)
TEXT ·nodePairs(SB), NOSPLIT, $64-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ last+16(FP), DX
	MOVQ pairs+24(FP), CX
	LEAQ constants<>(SB), AX
	MOVO 288(AX), X14
	MOVO 304(AX), X15

nodePair:
	TESTQ CX, CX
	JZ    nodeDone
	LEAQ  64(SI), R9        // the odd node
	BEGIN
	LOADNODE(SI, X3, X4, X5, X6)
	LOADNODE(R9, X9, X10, X11, X12)
	FIRST
	REST
	PADDD 256(AX), X1
	PADDD 272(AX), X2
	PADDD 256(AX), X7
	PADDD 272(AX), X8
	KEEP
	LOOKUP(SI, R10)
	LOOKUP(R9, R11)
	BOTHKNOWN(0)
	BOTHKNOWN(16)
	BOTHKNOWN(32)
	BOTHKNOWN(48)
	BOTHKNOWN(64)
	BOTHKNOWN(80)
	BOTHKNOWN(96)
	BOTHKNOWN(112)
	BOTHKNOWN(128)
	BOTHKNOWN(144)
	BOTHKNOWN(160)
	BOTHKNOWN(176)
	BOTHKNOWN(192)
	BOTHKNOWN(208)
	BOTHKNOWN(224)
	BOTHKNOWN(240)
	ADDKEPT
	ADDQ $128, SI
	STORE(X1, X2, DI)
	ADDQ $32, DI
	STORE(X7, X8, DI)
	ADDQ $32, DI
	DECQ CX
	JMP  nodePair

nodeDone:
	RET

// The constants of the rounds (FIPS 180-4, 4.2.2), then as STATE the initial hash
// value (5.3.3) in the order ABEF and CDGH, highest word first.
DATA constants<>+0(SB)/8, $0x71374491428a2f98
DATA constants<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA constants<>+16(SB)/8, $0x59f111f13956c25b
DATA constants<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA constants<>+32(SB)/8, $0x12835b01d807aa98
DATA constants<>+40(SB)/8, $0x550c7dc3243185be
DATA constants<>+48(SB)/8, $0x80deb1fe72be5d74
DATA constants<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA constants<>+64(SB)/8, $0xefbe4786e49b69c1
DATA constants<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA constants<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA constants<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA constants<>+96(SB)/8, $0xa831c66d983e5152
DATA constants<>+104(SB)/8, $0xbf597fc7b00327c8
DATA constants<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA constants<>+120(SB)/8, $0x1429296706ca6351
DATA constants<>+128(SB)/8, $0x2e1b213827b70a85
DATA constants<>+136(SB)/8, $0x53380d134d2c6dfc
DATA constants<>+144(SB)/8, $0x766a0abb650a7354
DATA constants<>+152(SB)/8, $0x92722c8581c2c92e
DATA constants<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA constants<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA constants<>+176(SB)/8, $0xd6990624d192e819
DATA constants<>+184(SB)/8, $0x106aa070f40e3585
DATA constants<>+192(SB)/8, $0x1e376c0819a4c116
DATA constants<>+200(SB)/8, $0x34b0bcb52748774c
DATA constants<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA constants<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA constants<>+224(SB)/8, $0x78a5636f748f82ee
DATA constants<>+232(SB)/8, $0x8cc7020884c87814
DATA constants<>+240(SB)/8, $0xa4506ceb90befffa
DATA constants<>+248(SB)/8, $0xc67178f2bef9a3f7
DATA constants<>+256(SB)/8, $0x510e527f9b05688c
DATA constants<>+264(SB)/8, $0x6a09e667bb67ae85
DATA constants<>+272(SB)/8, $0x1f83d9ab5be0cd19
DATA constants<>+280(SB)/8, $0x3c6ef372a54ff53a
// Turns the bytes of each word around.
DATA constants<>+288(SB)/8, $0x0405060700010203
DATA constants<>+296(SB)/8, $0x0c0d0e0f08090a0b
// The prefix of a node.
DATA constants<>+304(SB)/8, $0x0000000000000001
DATA constants<>+312(SB)/8, $0x0000000000000000
GLOBL constants<>(SB), RODATA|NOPTR, $320
