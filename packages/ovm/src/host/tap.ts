import { closeSync, constants, openSync } from "node:fs"
import { OvmError } from "../errors.ts"
import { ioctl, ioctlNumber, O_CLOEXEC } from "./libc.ts"

/** struct ifreq (netdevice(7)): 16 bytes of a name, and what is said of it. */
const REQUEST = 40
const NAME = 16
const TUNSETIFF = 0x400454ca
const IFF_TAP = 2
const IFF_NO_PI = 0x1000
const TUNSETPERSIST = 0x400454cb
const TUNSETOWNER = 0x400454cc
/** The kernel puts a number in. */
const NAMES = "ovmtap%d"

/**
 * Opens /dev/net/tun. No other process that is started meanwhile gets it: the interface would outlive its VMM. Throws
 * OVM_HOST_FAILED.
 */
export function openTun(): number {
  try {
    return openSync("/dev/net/tun", constants.O_RDWR | O_CLOEXEC)
  } catch (cause) {
    throw new OvmError("OVM_HOST_FAILED", "/dev/net/tun could not be opened (modprobe tun)", { cause })
  }
}

/**
 * Has the open device /dev/net/tun be a new interface of this host that carries bare frames, until nobody has it open
 * any more; returns its name. Throws OVM_HOST_FAILED.
 */
export function makeTap(device: number): string {
  return named(device, NAMES)
}

/**
 * Makes the interface `name`, which the user `uid` may open, and which stays until it is removed or made to end with
 * its holder. Throws OVM_HOST_FAILED.
 */
export function makeTapFor(name: string, uid: number): void {
  const device = openTun()
  try {
    named(device, name)
    if (!ioctlNumber(device, TUNSETOWNER, uid) || !ioctlNumber(device, TUNSETPERSIST, 1)) throw refused()
  } finally {
    closeSync(device)
  }
}

/** The interface that `device` is stays as long as somebody has it open. Throws OVM_HOST_FAILED. */
export function endWithHolder(device: number): void {
  if (!ioctlNumber(device, TUNSETPERSIST, 0)) throw refused()
}

function named(device: number, name: string): string {
  const request = Buffer.alloc(REQUEST)
  request.write(name)
  // Without headers that tell of checksums to be made: those of a snapshot would be needed where it is gone on from.
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, NAME)
  if (!ioctl(device, TUNSETIFF, request)) throw refused()
  return request.toString("latin1", 0, NAME).replace(/\0.*$/s, "")
}

function refused(): OvmError {
  return new OvmError("OVM_HOST_FAILED", "the host makes no interface for the machine (/dev/net/tun)")
}
