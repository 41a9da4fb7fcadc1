import { gzipSync } from "node:zlib"
import { hex, utf8 } from "../registry/content.ts"

/** A tar archive of one empty file. */
export function tarOf(name: string): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write("0000644\0", 100)
  header.write("00000000000\0", 124)
  header.write("ustar\u000000", 257)
  header.fill(" ", 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return Buffer.concat([header, Buffer.alloc(1024)])
}

function at(offset: number, bytes: Buffer): Buffer {
  const whole = Buffer.alloc(4096)
  bytes.copy(whole, offset)
  return whole
}

/** Files that hardly ever are meant as a raw disk (spec/disk.md, "Bytes of other formats"), by what they are. */
export const FOREIGN: Readonly<Record<string, Buffer>> = {
  QED: at(0, hex("514544000000010004000000")),
  VMDK: at(0, hex("4b444d5601000000")),
  VHDX: at(0, utf8("vhdxfile")),
  VDI: at(64, hex("7f10dabe01000100")),
  tar: tarOf("disk.img"),
  gzip: gzipSync(Buffer.alloc(64)),
  JSON: utf8(JSON.stringify({ schemaVersion: 1 })),
}
