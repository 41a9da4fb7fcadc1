import { asJson } from "./options.ts"

/** A PC has four serial ports, of which the first is the console. */
export const MOST_SERIAL = 3

/** In a model: the serial port `port`, from 1 on (spec/devices.md). */
export function serialModel(port: number): string {
  return `isa-serial,port=${port}`
}

/** In the instance's directory: what is at the other end of the port of that name, a Unix socket. */
export function serialSocket(name: string): string {
  return `serial-${name}.sock`
}

/** The part of the command line. What a guest writes while nobody is connected is lost, and does not hold it up. */
export function serialArguments(name: string, port: number): string[] {
  const id = `serial${port}`
  return [
    ...["-chardev", `socket,id=${id},path=${serialSocket(name)},server=on,wait=off`],
    ...asJson("-device", { driver: "isa-serial", chardev: id, index: port }),
  ]
}
