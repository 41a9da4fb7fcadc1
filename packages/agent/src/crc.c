#include "agent.h"

uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length) {
  static uint32_t table[8][256];
  if (table[0][1] == 0) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
      table[0][i] = value;
    }
    for (uint32_t i = 0; i < 256; i++)
      for (int part = 1; part < 8; part++)
        table[part][i] = table[part - 1][i] >> 8 ^ table[0][table[part - 1][i] & 255];
  }
  crc = ~crc;
  // Eight bytes at a time: otherwise this would be what most of the time goes into.
  for (; length >= 8; bytes += 8, length -= 8) {
    uint32_t low = crc ^ get32(bytes), high = get32(bytes + 4);
    crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
          table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
  }
  for (; length > 0; bytes++, length--) crc = crc >> 8 ^ table[0][(crc ^ *bytes) & 255];
  return ~crc;
}
