#!/usr/bin/env bash
# Runs a program on an emulated CPU with AVX-512 and SHA extensions, for machines that have no such CPU.
# Prints what the program prints and exits with its exit code. Slow: minutes, of which most is Linux starting.
#
#   cargo test -p signalcore-pow --no-run       # names the test programs
#   scripts/emulate-avx512.sh /boot/vmlinuz-6.1.0-50-cloud-amd64 target/debug/deps/scanning-0123456789abcdef
#
# Needs (Debian): bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio busybox-static, and any
# Linux kernel with a serial console.
set -euo pipefail

[[ $# -ge 2 ]] || { echo "usage: $0 KERNEL PROGRAM [ARGUMENT...]" >&2; exit 2; }
kernel=$1 program=$2
shift 2
work=$(mktemp -d)
emulator=
trap '[[ -z $emulator ]] || kill "$emulator" 2>/dev/null || true; rm -rf "$work"' EXIT

# The first process: the program, with the libraries that it needs.
root=$work/root
mkdir -p "$root/bin" "$work/iso/isolinux"
cp /bin/busybox "$root/bin/"
cp "$program" "$root/program"
for library in $(ldd "$program" | grep -o '/[^ ]*'); do
  install -D "$library" "$root$library"
done
printf '#!/bin/busybox sh\n/program%s\necho "==EXIT $?"\nexec /bin/busybox sleep 1000000\n' \
  "$([[ $# -eq 0 ]] || printf ' %q' "$@")" > "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) > "$work/iso/initrd"

# What is left out of Linux is what Bochs 2.7 gets wrong: compacted XSAVE areas, PKU, and some of its timers.
cp "$kernel" "$work/iso/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/isolinux/"
cat > "$work/iso/isolinux/isolinux.cfg" <<'END'
DEFAULT linux
LABEL linux
  KERNEL /vmlinuz
  INITRD /initrd
  APPEND console=ttyS0,115200 quiet loglevel=3 panic=-1 clearcpuid=515,321,323 acpi=off nolapic nosmp hpet=disable idle=poll lpj=1000000 lsm=capability mitigations=off nopti nokaslr nofsgsbase noinvpcid nopcid
END
xorriso -as mkisofs -quiet -o "$work/disk.iso" -b isolinux/isolinux.bin -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/iso" 2>/dev/null

cat > "$work/bochsrc" <<END
display_library: rfb, options="timeout=0"
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei3_cnl, ips=50000000, ignore_bad_msrs=1
megs: 512
ata0-master: type=cdrom, path=$work/disk.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial
log: $work/bochs.log
panic: action=fatal
clock: sync=none
END
echo c > "$work/continue" # Debian's Bochs is the one with a debugger
: > "$work/serial"
bochs-bin -q -f "$work/bochsrc" -rc "$work/continue" > "$work/out" 2>&1 < /dev/null &
emulator=$!

code=
while IFS= read -r line; do
  line=${line%$'\r'}
  case $line in
    "==EXIT "*) code=${line#==EXIT } && break ;;
    *"Kernel panic"*) break ;;
  esac
  printf '%s\n' "$line"
done < <(tail -n +1 -s 0.3 -f --pid=$emulator "$work/serial")
[[ -n $code ]] || { echo "the emulator stopped before the program did; its last words:" >&2; tail -n 5 "$work/serial" "$work/bochs.log" >&2; exit 1; }
exit "$code"
