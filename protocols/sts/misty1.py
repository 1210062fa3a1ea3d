"""EA11: MISTY1 (RFC 2994), one block of 64 bits under a key of 128 bits; no mode, no padding.

Names (FI, FO, FL, S7, S9, K, K') are those of the RFC. FI is written with four small tables and its
16-bit halves kept as ``b << 9 | a``, which folds its key in with one xor.
"""

from protocols.sts.errors import RangeError
from protocols.sts.tables import EncryptionAlgorithm

HALF = 0xFFFF
WORD = 0xFFFF_FFFF
ROUND_PAIRS = (0, 2, 4, 6)
LAST_FL = 8


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split())


S7 = _numbers("""
27 50 51 90 59 16 23 84 91 26 114 115 107 44 102 73 31 36 19 108 55 46 63 74 93 15 64 86 37 81 28
4 11 70 32 13 123 53 68 66 43 30 65 20 75 121 21 111 14 85 9 54 116 12 103 83 40 10 126 56 2 7 96
41 25 18 101 47 48 57 8 104 95 120 42 76 100 69 117 61 89 72 3 87 124 79 98 60 29 33 94 39 106 112
77 58 1 109 110 99 24 119 35 5 38 118 0 49 45 122 127 97 80 34 17 6 71 22 82 78 113 62 105 67 52
92 88 125
""")

S9 = _numbers("""
451 203 339 415 483 233 251 53 385 185 279 491 307 9 45 211 199 330 55 126 235 356 403 472 163 286
85 44 29 418 355 280 331 338 466 15 43 48 314 229 273 312 398 99 227 200 500 27 1 157 248 416 365
499 28 326 125 209 130 490 387 301 244 414 467 221 482 296 480 236 89 145 17 303 38 220 176 396
271 503 231 364 182 249 216 337 257 332 259 184 340 299 430 23 113 12 71 88 127 420 308 297 132
349 413 434 419 72 124 81 458 35 317 423 357 59 66 218 402 206 193 107 159 497 300 388 250 406 481
361 381 49 384 266 148 474 390 318 284 96 373 463 103 281 101 104 153 336 8 7 380 183 36 25 222
295 219 228 425 82 265 144 412 449 40 435 309 362 374 223 485 392 197 366 478 433 195 479 54 238
494 240 147 73 154 438 105 129 293 11 94 180 329 455 372 62 315 439 142 454 174 16 149 495 78 242
509 133 253 246 160 367 131 138 342 155 316 263 359 152 464 489 3 510 189 290 137 210 399 18 51
106 322 237 368 283 226 335 344 305 327 93 275 461 121 353 421 377 158 436 204 34 306 26 232 4 391
493 407 57 447 471 39 395 198 156 208 334 108 52 498 110 202 37 186 401 254 19 262 47 429 370 475
192 267 470 245 492 269 118 276 427 117 268 484 345 84 287 75 196 446 247 41 164 14 496 119 77 378
134 139 179 369 191 270 260 151 347 352 360 215 187 102 462 252 146 453 111 22 74 161 313 175 241
400 10 426 323 379 86 397 358 212 507 333 404 410 135 504 291 167 440 321 60 505 320 42 341 282
417 408 213 294 431 97 302 343 476 114 394 170 150 277 239 69 123 141 325 83 95 376 178 46 32 469
63 457 487 428 68 56 20 177 363 171 181 90 386 456 468 24 375 100 207 109 256 409 304 346 5 288
443 445 224 79 214 319 452 298 21 6 255 411 166 67 136 80 351 488 289 115 382 188 194 201 371 393
501 116 460 486 424 405 31 65 13 442 50 61 465 128 168 87 441 354 328 217 261 98 122 33 511 274
264 448 169 285 432 422 205 243 92 258 91 473 324 502 173 165 58 459 310 383 70 225 30 477 230 311
506 389 140 143 64 437 190 120 0 172 272 350 292 2 444 162 234 112 508 278 348 76 450
""")

# FI(x, k), first half: FI_HIGH[x >> 7] ^ FI_LOW[x & 127] is b << 9 | a before the key.
_FI_HIGH = tuple(s9 | (s9 & 0x7F) << 9 for s9 in S9)
_FI_LOW = tuple(x | (x ^ s7) << 9 for x, s7 in enumerate(S7))
# Second half: S9[y & 511] ^ _FI_CARRY[y >> 9].
_FI_CARRY = tuple(b << 9 | b for b in range(128))

FoKeys = tuple[int, int, int, int, int, int, int]
FlKeys = tuple[int, int]


def _fi(x: int, k: int) -> int:
    y = _FI_HIGH[x >> 7] ^ _FI_LOW[x & 0x7F] ^ k
    return S9[y & 0x1FF] ^ _FI_CARRY[y >> 9]


def _fo(x: int, keys: FoKeys) -> int:
    k1, i1, k2, i2, k3, i3, k4 = keys
    high, low, s9, carry = _FI_HIGH, _FI_LOW, S9, _FI_CARRY
    left, right = x >> 16, x & HALF
    left ^= k1
    y = high[left >> 7] ^ low[left & 0x7F] ^ i1
    left = s9[y & 0x1FF] ^ carry[y >> 9] ^ right
    right ^= k2
    y = high[right >> 7] ^ low[right & 0x7F] ^ i2
    right = s9[y & 0x1FF] ^ carry[y >> 9] ^ left
    left ^= k3
    y = high[left >> 7] ^ low[left & 0x7F] ^ i3
    left = s9[y & 0x1FF] ^ carry[y >> 9] ^ right
    return (right ^ k4) << 16 | left


def _fl(x: int, keys: FlKeys) -> int:
    and_key, or_key = keys
    right = x & HALF ^ (x >> 16 & and_key)
    return (x >> 16 ^ (right | or_key)) << 16 | right


def _fl_inverse(x: int, keys: FlKeys) -> int:
    and_key, or_key = keys
    left = x >> 16 ^ (x & HALF | or_key)
    return left << 16 | (x & HALF ^ (left & and_key))


class Misty1:
    """The cipher under one key: the schedule is derived once and serves any number of blocks."""

    __slots__ = ("_pairs", "_whitening")

    algorithm = EncryptionAlgorithm.MISTY1

    def __init__(self, key: bytes) -> None:
        if len(key) != self.algorithm.key_bytes:
            raise RangeError("decoder_key", "EA11 takes a key of 16 bytes")
        k = [int.from_bytes(key[at : at + 2]) for at in range(0, 16, 2)]
        mixed = [_fi(k[i], k[(i + 1) % 8]) for i in range(8)]
        fl = [keys for t in range(5) for keys in _fl_keys(t, k, mixed)]
        self._pairs = tuple(
            (fl[r], fl[r + 1], _fo_keys(r, k, mixed), _fo_keys(r + 1, k, mixed))
            for r in ROUND_PAIRS
        )
        self._whitening = (fl[LAST_FL], fl[LAST_FL + 1])

    def encrypt(self, block: int) -> int:
        """Encrypt a block of 64 bits."""
        d0, d1 = block >> 32, block & WORD
        for fl0, fl1, fo0, fo1 in self._pairs:
            d0 = _fl(d0, fl0)
            d1 = _fl(d1, fl1) ^ _fo(d0, fo0)
            d0 ^= _fo(d1, fo1)
        fl0, fl1 = self._whitening
        return _fl(d1, fl1) << 32 | _fl(d0, fl0)

    def decrypt(self, block: int) -> int:
        """Decrypt a block of 64 bits."""
        fl0, fl1 = self._whitening
        d1, d0 = _fl_inverse(block >> 32, fl1), _fl_inverse(block & WORD, fl0)
        for fl0, fl1, fo0, fo1 in reversed(self._pairs):
            d0 ^= _fo(d1, fo1)
            d1 = _fl_inverse(d1 ^ _fo(d0, fo0), fl1)
            d0 = _fl_inverse(d0, fl0)
        return d0 << 32 | d1


def _fo_keys(r: int, k: list[int], mixed: list[int]) -> FoKeys:
    return (
        k[r],
        mixed[(r + 5) % 8],
        k[(r + 2) % 8],
        mixed[(r + 1) % 8],
        k[(r + 7) % 8],
        mixed[(r + 3) % 8],
        k[(r + 4) % 8],
    )


def _fl_keys(t: int, k: list[int], mixed: list[int]) -> tuple[FlKeys, FlKeys]:
    return (k[t], mixed[(t + 6) % 8]), (mixed[(t + 2) % 8], k[(t + 4) % 8])
