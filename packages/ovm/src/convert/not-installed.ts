import { OvmError } from "../errors.ts"

/** Debian's packages of the programs, where their names differ. */
const PACKAGES: Readonly<Record<string, string>> = {
  "qemu-img": "qemu-utils",
  xz: "xz-utils",
  prlimit: "util-linux",
  setpriv: "util-linux",
}

/** Says that a program is missing without which nothing can be taken in. */
export function notInstalled(program: string): OvmError {
  return new OvmError("OVM_HOST_FAILED", `${program} is not installed`, {
    hint: `apt-get install ${PACKAGES[program] ?? program}`,
  })
}
