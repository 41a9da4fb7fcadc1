import { elfOf } from "./elf.ts"

/** The port of a guest at which the program below says again by UDP what it hears, by IPv4 and IPv6. */
export const AGAIN_PORT = 7071

/** For a guest that has nothing that listens by UDP: socket, bind, and recvfrom and sendto without an end. */
const CODE = [
  "6a29 58 6a0a 5f 6a02 5e 31d2 0f05 89c3", // ebx = socket(AF_INET6, SOCK_DGRAM, 0)
  "6a31 58 89df 488d3540000000 6a1c 5a 0f05", // bind(ebx, the address behind all this, 28)
  "4881ec00080000", // sub rsp, 2048
  "c704241c000000 89df 488d742440 ba6c070000 4531d2 4c8d442408 4989e1 6a2d 58 0f05", // eax = recvfrom(ebx, rsp + 64, …)
  "89c2 41b91c000000 6a2c 58 89df 0f05", // sendto(ebx, rsp + 64, eax, 0, rsp + 8, 28)
  "ebcc", // jmp to recvfrom
]

export function saysAgain(): Buffer {
  const address = Buffer.alloc(28)
  address.writeUInt16LE(10, 0)
  address.writeUInt16BE(AGAIN_PORT, 2)
  return elfOf(CODE, address)
}
