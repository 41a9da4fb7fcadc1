import { OvmError } from "../errors.ts"
import { ioctl } from "./libc.ts"

/** struct ifreq (netdevice(7)): 16 bytes of a name, and what is said of it. */
const REQUEST = 40
const NAME = 16
const TUNSETIFF = 0x400454ca
const IFF_TAP = 2
const IFF_NO_PI = 0x1000
/** The kernel puts a number in. */
const NAMES = "ovmtap%d"

/**
 * Has the open device /dev/net/tun be a new interface of this host that carries bare frames, until nobody has it open
 * any more; returns its name. Throws OVM_HOST_FAILED.
 */
export function makeTap(device: number): string {
  const request = Buffer.alloc(REQUEST)
  request.write(NAMES)
  // Without headers that tell of checksums to be made: those of a snapshot would be needed where it is gone on from.
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, NAME)
  if (!ioctl(device, TUNSETIFF, request))
    throw new OvmError("OVM_HOST_FAILED", "the host makes no interface for the machine (/dev/net/tun)")
  return request.toString("latin1", 0, NAME).replace(/\0.*$/s, "")
}
