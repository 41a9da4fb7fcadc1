import { ENTRY, elfOf } from "../elf.ts"
import { address, type CodePart, far, machineCode, near } from "./machine-code.ts"

/** How often the guest looks for something to do between two ticks: some 10 ms where it is emulated. */
const LOOKS = 5000
const [SERIAL_DATA, SERIAL_STATE, SENDING, KEYBOARD] = [0xf8, 0xfd, 0x20, 0x60]
const KEYBOARD_STATE = 0x64
/** Of ACPI's generic event device, where QEMU's microvm has it, which has no ports of ACPI. */
const [EVENTS, SLEEP_CONTROL] = [0xfea00000, 0xfea00200]
/** Scan codes of Delete, the last key of Ctrl-Alt-Del, in both sets. */
const [DELETE, DELETE_SET_2] = [0x53, 0x71]

/** What it says as long as it runs, each with a number that is one more than the last. */
export const TICK = "OVM-TEST "
/** What it says once it was asked to power off, and does so. */
export const OFF = "OVM-TEST-OFF\r\n"

const text = (of: string): number[] => [...Buffer.from(of, "latin1"), 0]
const four = (value: number): number[] => [...new Uint8Array(new Uint32Array([value]).buffer)]
/** dx = 0x300 + low */
const port = (low: number): number[] => [0x66, 0xba, low, 0x03]

/**
 * A kernel of some hundred bytes, for any VMM that starts ELF files: it counts in RAM, and says so on the serial port;
 * it gives back what is typed there, and powers off by ACPI when its power button is pressed (QEMU's q35 and microvm),
 * or resets at Ctrl-Alt-Del. Every instruction of it means the same in 32-bit and in 64-bit mode.
 */
export function trialKernel(): Uint8Array {
  return elfOf(machineCode([...COUNTING, ...SAYING, ...LOOKING, ...ENDING, ...DATA], ENTRY), { pvh: true })
}

const COUNTING: readonly CodePart[] = [
  ...[0x66, 0xba, 0x02, 0x06], //        mov dx, 0x602: what ACPI is to tell of
  ...[0x66, 0xb8, 0x00, 0x01], //        mov ax, 0x100: the power button
  ...[0x66, 0xef], //                    out dx, ax
  "tick",
  ...[0xbf, address("last digit")], //   mov edi, last digit
  "count",
  ...[0x8a, 0x07], //                    mov al, [edi]
  ...[0xfe, 0xc0], //                    inc al
  ...[0x3c, 0x3a], //                    cmp al, '9' + 1
  ...[0x75, near("counted")], //         jne counted
  ...[0xc6, 0x07, 0x30], //              mov [edi], '0'
  ...[0xff, 0xcf], //                    dec edi
  ...[0xeb, near("count")], //           jmp count
  "counted",
  ...[0x88, 0x07], //                    mov [edi], al
  ...[0xbe, address("words")], //        mov esi, words
  ...[0xbd, address("wait")], //         mov ebp, wait
]

/** The text at esi, then on at ebp. */
const SAYING: readonly CodePart[] = [
  "say",
  0xac, //                               lodsb
  ...[0x84, 0xc0], //                    test al, al
  ...[0x74, near("said")], //            jz said
  ...[0x88, 0xc4], //                    mov ah, al
  "busy",
  ...port(SERIAL_STATE),
  0xec, //                               in al, dx
  ...[0xa8, SENDING], //                 test al, SENDING
  ...[0x74, near("busy")], //            jz busy
  ...[0x88, 0xe0], //                    mov al, ah
  ...[0xb2, SERIAL_DATA], //             mov dl, SERIAL_DATA
  0xee, //                               out dx, al
  ...[0xeb, near("say")], //             jmp say
  "said",
  ...[0xff, 0xe5], //                    jmp ebp
]

const LOOKING: readonly CodePart[] = [
  "wait",
  ...[0xb9, ...four(LOOKS)], //          mov ecx, LOOKS
  "look",
  ...port(SERIAL_STATE),
  0xec, //                               in al, dx
  ...[0xa8, 0x01], //                    test al, 1: something was typed
  ...[0x74, near("untyped")], //         jz untyped
  ...[0xb2, SERIAL_DATA], //             mov dl, SERIAL_DATA
  ...[0xec, 0xee], //                    in al, dx; out dx, al
  "untyped",
  ...[0xe4, KEYBOARD_STATE], //          in al, KEYBOARD_STATE
  ...[0x3c, 0xff], //                    cmp al, 0xff: there is none
  ...[0x74, near("no key")], //          je no key
  ...[0xa8, 0x01], //                    test al, 1: there is a scan code
  ...[0x74, near("no key")], //          jz no key
  ...[0xe4, KEYBOARD], //                in al, KEYBOARD
  ...[0x3c, DELETE], //                  cmp al, DELETE
  ...[0x74, near("reset")], //           je reset
  ...[0x3c, DELETE_SET_2], //            cmp al, DELETE_SET_2
  ...[0x74, near("reset")], //           je reset
  "no key",
  ...[0x66, 0xba, 0x00, 0x06], //        mov dx, 0x600: what ACPI has to tell
  ...[0x66, 0xed], //                    in ax, dx
  ...[0x66, 0x3d, 0xff, 0xff], //        cmp ax, 0xffff: there is none
  ...[0x74, near("no port")], //         je no port
  ...[0xf6, 0xc4, 0x01], //              test ah, 1
  ...[0x75, near("off")], //             jnz off
  ...[0xeb, near("no button")], //       jmp no button
  "no port",
  ...[0xbe, ...four(EVENTS)], //         mov esi, EVENTS
  ...[0x8b, 0x06], //                    mov eax, [esi]
  ...[0x3d, 0xff, 0xff, 0xff, 0xff], //  cmp eax, 0xffffffff: there is none
  ...[0x74, near("no button")], //       je no button
  ...[0xa8, 0x02], //                    test al, 2: the power button
  ...[0x75, near("sleep")], //           jnz sleep
  "no button",
  ...[0xff, 0xc9], //                    dec ecx
  ...[0x75, near("look")], //            jnz look
  ...[0xe9, far("tick")], //             jmp tick
]

const ENDING: readonly CodePart[] = [
  "off",
  ...[0xbe, address("last words")], //   mov esi, last words
  ...[0xbd, address("power off")], //    mov ebp, power off
  ...[0xe9, far("say")], //              jmp say
  "power off",
  ...[0x66, 0xba, 0x04, 0x06], //        mov dx, 0x604
  ...[0x66, 0xb8, 0x00, 0x20], //        mov ax, 0x2000: S5
  ...[0x66, 0xef], //                    out dx, ax
  "over",
  ...[0xeb, near("over")], //            jmp over
  "sleep",
  ...[0xbe, address("last words")], //   mov esi, last words
  ...[0xbd, address("asleep")], //       mov ebp, asleep
  ...[0xe9, far("say")], //              jmp say
  "asleep",
  ...[0xbe, ...four(SLEEP_CONTROL)], //  mov esi, SLEEP_CONTROL
  ...[0xc6, 0x06, 0x34], //              mov [esi], 0x34: S5
  ...[0xeb, near("over")], //            jmp over
  "reset",
  ...[0xbe, address("last words")], //   mov esi, last words
  ...[0xbd, address("pulse")], //        mov ebp, pulse
  ...[0xe9, far("say")], //              jmp say
  "pulse",
  ...[0xb0, 0xfe], //                    mov al, 0xfe
  ...[0xe6, KEYBOARD_STATE], //          out KEYBOARD_STATE, al: the keyboard controller resets the machine
  ...[0xeb, near("over")], //            jmp over
]

const DATA: readonly CodePart[] = [
  "words",
  ...text(`${TICK}0000000`).slice(0, -1),
  "last digit",
  ...text("0\r\n"),
  "last words",
  ...text(OFF),
]
