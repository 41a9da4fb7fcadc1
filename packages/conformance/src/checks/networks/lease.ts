import { output } from "../linux/stage.ts"
import type { Guest } from "./guests.ts"

/** What a guest is told by DHCP, without its taking it; nothing where nobody answers. */
export async function leased({ nic, ...guest }: Guest, more = "") {
  const script = `printf '#!/bin/sh\\n[ $1 != bound ] || echo "$ip $router $dns"\\n' >/suite-dhcp; chmod 755 /suite-dhcp
    udhcpc -q -n -f -t 4 -T 2 -i ${nic} ${more} -s /suite-dhcp 2>/dev/null; true`
  const [address = "", router, dns] = (await output(guest, script)).split(" ")
  return { address, router, dns }
}
