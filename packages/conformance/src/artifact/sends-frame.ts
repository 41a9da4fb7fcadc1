import { elfOf } from "./elf.ts"

/** For a guest that has nothing that sends what it likes: socket, read, sendto and exit. */
const CODE = [
  "6a29 58 6a11 5f 6a03 5e 31d2 0f05 89c3", // ebx = socket(AF_PACKET, SOCK_RAW, 0)
  "4881ec00080000 31c0 31ff 4889e6 ba00080000 0f05", // eax = read(0, rsp, 2048)
  "8d50ec 488d742414 89df 4531d2 4989e0 41b914000000 6a2c 58 0f05", // sendto(ebx, rsp + 20, eax - 20, 0, rsp, 20)
  "31ff 6a3c 58 0f05", // exit(0)
]

/** A program that sends a frame of Ethernet, which it reads behind the address of its interface. */
export function sendsFrame(): Buffer {
  return elfOf(CODE)
}

/** What it reads: `struct sockaddr_ll` of the interface with this number, and the frame. */
export function frameBy(index: number, frame: Uint8Array): Buffer {
  const address = Buffer.alloc(20)
  address.writeUInt16LE(17, 0)
  address.writeInt32LE(index, 4)
  return Buffer.concat([address, frame])
}
