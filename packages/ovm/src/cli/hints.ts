import type { ErrorCode } from "../errors.ts"

/** What to try next, for errors that do not say it themselves: those of the daemon come over the API without a hint. */
export const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  OVM_NAME_UNKNOWN: "ovm images lists what is on this host",
  OVM_INSTANCE_UNKNOWN: "ovm ps --all",
  OVM_VOLUME_UNKNOWN: "ovm volume ls; ovm volume create NAME --size 10GiB makes one",
  OVM_VOLUME_IN_USE: "ovm volume ls shows which machines have it; ovm stop and ovm rm have them let go of it",
  OVM_NETWORK_UNKNOWN: "ovm network ls; ovm network create NAME makes one",
  OVM_NETWORK_IN_USE: "ovm network inspect NAME shows which machines are in it; ovm rm has them let go of it",
  OVM_SUBNET_IN_USE: "leave --subnet out for one that is free",
  OVM_CONTENT_MISSING: "pull or pack the image again",
  OVM_DIGEST_MISMATCH:
    "what is here, or in the registry, was changed or cut: pull or pack it again, or have it pushed again",
  OVM_SIZE_MISMATCH:
    "what is here, or in the registry, was changed or cut: pull or pack it again, or have it pushed again",
  OVM_NAME_IN_USE:
    "take another --name; ovm start NAME starts the one that has it again, ovm rm NAME removes it",
  OVM_AGENT_UNAVAILABLE:
    "ovm ps shows whether the machine runs; one that was started with --agent has an agent once its guest has booted",
  OVM_START_INTERRUPTED: "ovm start NAME starts it again",
  OVM_VMM_UNREACHABLE: "it is tried again; ovm stop and ovm rm --force end it all the same",
  OVM_RECORD_UNREADABLE: "a newer ovm may read it; ovm rm --force ends it and removes all of it",
  OVM_STATE_CONFLICT: "ovm ps --all shows the state of each",
  OVM_TOO_MANY: "ovm ps --all, then ovm stop or ovm rm what is not needed",
  OVM_NO_SPACE:
    "ovm system df shows what takes room; ovm prune frees what nobody uses, ovm rmi and ovm rm the rest",
  OVM_HOST_FAILED: "the kernel says more (dmesg); ulimit -n says how many files may be open",
  OVM_VMM_MISSING:
    "install QEMU (Debian: qemu-system-x86), or Firecracker (docs/firecracker.md); ovm info shows what is found",
  OVM_SETTINGS_INVALID: "mend the file; daemon.json is read when a daemon begins, so ovm daemon --stop then",
  OVM_STORE_BUSY: "try again when the other command has ended",
  OVM_INTERNAL: "this is a fault of ovm: please report it, with what OVM_DEBUG=1 shows",
}
