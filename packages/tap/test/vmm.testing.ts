import { openSync, read, writeSync } from "node:fs"
import { createInterface } from "node:readline"
import { ioctl } from "../../ovm/src/host/libc.ts"

// What a VMM such as Firecracker does with the interface that it is told of by its name: it opens that with headers
// that leave work to it. Says each frame that comes in hexadecimal, and sends what it hears so, headers included.

const TUNSETIFF = 0x400454ca
const TUNSETVNETHDRSZ = 0x400454d8
const TAP_WITHOUT_INFO_WITH_HEADER = 0x5002
const NAME = 16
const HEADER = 12

const device = openSync("/dev/net/tun", "r+")
const request = Buffer.alloc(40)
request.write("net0")
request.writeUInt16LE(TAP_WITHOUT_INFO_WITH_HEADER, NAME)
const size = Buffer.alloc(4)
size.writeUInt32LE(HEADER)
if (!ioctl(device, TUNSETIFF, request) || !ioctl(device, TUNSETVNETHDRSZ, size))
  throw new Error("no interface")
console.log("ready")

const bytes = Buffer.alloc(70_000)
const next = () =>
  read(device, bytes, (error, length) => {
    if (error) throw error
    console.log(bytes.toString("hex", HEADER, length))
    next()
  })
next()
for await (const line of createInterface(process.stdin)) writeSync(device, Buffer.from(line, "hex"))
