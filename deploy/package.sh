#!/usr/bin/env bash
# Makes a release: one x86_64 program for Amazon Linux 2023 and everything newer, as an archive for machines and a zip for Lambda.
# Pages, scripts, migrations and models are inside the program. The same program is packed into the same bytes.
#
#   deploy/package.sh [OPTION...]
#     --output DIR       where to put it [default: target/dist]
#     --glibc VERSION    the oldest GNU C library it must run on [default: 2.34, Amazon Linux 2023's]
#     --rds-ca FILE      put this PEM file into Lambda's zip as rds-ca.pem, which stands in /var/task there
#     --binary FILE      package this program instead of building one
#     --commit COMMIT    the commit's name, where the sources are no git checkout
#     --print-version    only print the version: Cargo's, the commit, and a hash of what is not committed
#
# Into DIR go photo-gallery-VERSION-x86_64.tar.gz, its .sha256 for `sha256sum -c`, and lambda-x86_64.zip.
# CARGO_TARGET_DIR says where to build; unset, it is a folder of the user's cache.
# SOURCE_DATE_EPOCH dates the files; unset, the commit does.
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/photo-gallery"
# Bytes of the program from which on there is a warning.
largest=60000000
tools=(cargo-zigbuild==0.24.0 ziglang==0.17.0)

say() { echo "package.sh: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' deploy/package.sh; }
needs() { command -v "$1" >/dev/null || die "$1 is missing: $2"; }
in_place_of() { case "$1" in /*) echo "$1" ;; *) echo "$here/$1" ;; esac }

here="$OLDPWD" output="" glibc=2.34 rds_ca="" binary="" commit="" only_version=false
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) usage; exit ;;
    --print-version) only_version=true; shift; continue ;;
    --output | --glibc | --rds-ca | --binary | --commit) [ $# -ge 2 ] || die "$1 wants a value" ;;
    *)
        say "there is no option \"$1\""
        usage >&2
        exit 2
        ;;
    esac
    case "$1" in
    --output) output="$(in_place_of "$2")" ;;
    --glibc) glibc="$2" ;;
    --rds-ca) rds_ca="$(in_place_of "$2")" ;;
    --binary) binary="$(in_place_of "$2")" ;;
    --commit) commit="$2" ;;
    esac
    shift 2
done
output="${output:-$PWD/target/dist}"
[[ "$glibc" =~ ^2\.[0-9]+$ ]] || die "--glibc wants a version like 2.34, not \"$glibc\""

# --- which version -----------------------------------------------------------------------------------------------------------

# The tree of what stands in the checkout, committed or not, without a trace in it.
tree_of_checkout() {
    local scratch objects
    objects="$(git rev-parse --path-format=absolute --git-path objects)"
    scratch="$(mktemp -d)"
    (
        export GIT_INDEX_FILE="$scratch/index" GIT_OBJECT_DIRECTORY="$scratch/objects" GIT_ALTERNATE_OBJECT_DIRECTORIES="$objects"
        mkdir "$GIT_OBJECT_DIRECTORY"
        git read-tree HEAD
        git add --all
        git write-tree
    )
    rm -rf "$scratch"
}

number="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
[ -n "$number" ] || die "Cargo.toml tells no version"
if [ -n "$commit" ]; then
    [[ "$commit" =~ ^[0-9a-f]{7,64}$ ]] || die "--commit wants a commit's name like a1b2c3d, not \"$commit\""
    version="$number-${commit:0:7}"
    tree="unknown-$(date +%s%N)"
    date="${SOURCE_DATE_EPOCH:-315532800}"
else
    needs git "install it, or name the commit with --commit"
    [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ] ||
        die "$PWD is no git checkout, so the version is not known: name the commit with --commit"
    version="$number-$(git rev-parse --short=7 HEAD)"
    tree="$(tree_of_checkout)"
    [ "$tree" = "$(git rev-parse 'HEAD^{tree}')" ] || version+="-dirty-${tree:0:7}"
    date="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
fi
if $only_version; then
    echo "$version"
    exit
fi

# --- the program -------------------------------------------------------------------------------------------------------------

needs flock "install util-linux"
needs cargo "install Rust, https://rustup.rs"
needs python3 "install Python 3"
needs objdump "on Debian and Ubuntu, apt-get install binutils; on Amazon Linux, dnf install binutils"
needs gzip "install it"
tar --version 2>/dev/null | grep -q 'GNU tar' || die "GNU tar is missing: install it under the name tar"
[ -z "$rds_ca" ] || grep -q -e '-----BEGIN CERTIFICATE-----' "$rds_ca" 2>/dev/null ||
    die "--rds-ca: $rds_ca is no PEM file with certificates: take https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"

# The compiler and linker that know every glibc's symbols, installed once.
install_tools() {
    [ "$(cat "$cache/python-package/made-of" 2>/dev/null)" = "${tools[*]}" ] && return
    say "installing ${tools[*]} into $cache/python-package"
    rm -rf "$cache/python-package"
    mkdir -p "$cache"
    python3 -m venv "$cache/python-package" ||
        die "Python cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv"
    "$cache/python-package/bin/pip" -q --disable-pip-version-check install "${tools[@]}" >&2 ||
        die "pip could not install ${tools[*]}: see above"
    echo "${tools[*]}" >"$cache/python-package/made-of"
}

build() {
    local triple=x86_64-unknown-linux-gnu made_of lock
    install_tools
    if [ -z "${CARGO_TARGET_DIR:-}" ]; then
        CARGO_TARGET_DIR="$cache/package"
        mkdir -p "$CARGO_TARGET_DIR" 2>/dev/null && [ -w "$CARGO_TARGET_DIR" ] || CARGO_TARGET_DIR="$PWD/target/package-build"
        export CARGO_TARGET_DIR
    fi
    mkdir -p "$CARGO_TARGET_DIR"
    exec {lock}>"$CARGO_TARGET_DIR/package.lock"
    flock "$lock"
    say "building $version for glibc $glibc in $CARGO_TARGET_DIR"
    binary="$CARGO_TARGET_DIR/$triple/release/photo-gallery"
    made_of="$CARGO_TARGET_DIR/package.made-of"
    # Cargo goes by the times of files, and takes another checkout's program for this one's when that was built later.
    [ "$(cat "$made_of" 2>/dev/null)" = "$tree $(sha256sum 2>/dev/null <"$binary")" ] ||
        cargo clean --quiet --locked --release --target "$triple" --package photo-gallery >&2
    PATH="$cache/python-package/bin:$PATH" cargo zigbuild --locked --release --bin photo-gallery --target "$triple.$glibc" >&2 ||
        die "the build failed: see above"
    echo "$tree $(sha256sum <"$binary")" >"$made_of"
}

newest_symbol() { objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1; }
functions_of() { objdump -T "$2" | awk -v of="($1)" 'NF > 1 && $(NF - 1) == of { print $NF }' | head -n 3 | paste -sd ' '; }

# That a program, `given` or `built`, runs on an x86_64 machine with nothing but the C library of that age.
check() {
    local library said
    objdump -f "$1" 2>/dev/null | grep -q '^architecture: i386:x86-64' || die "$1 is no x86_64 program"
    newest="$(newest_symbol "$1")"
    [ -n "$newest" ] || die "$1 asks for no symbol of the GNU C library: it is not built for x86_64-unknown-linux-gnu"
    [ "$(printf 'GLIBC_%s\n%s\n' "$glibc" "$newest" | sort -V | tail -n 1)" = "GLIBC_$glibc" ] ||
        die "$1 needs $newest ($(functions_of "$newest" "$1")): it would not start on glibc $glibc"
    while read -r library; do
        case "$library" in
        libc.so.6 | libm.so.6 | ld-linux-x86-64.so.2) ;;
        libpthread.so.0 | libdl.so.2 | librt.so.1 | libutil.so.1) ;; # parts of the C library before 2.34
        libgcc_s.so.1)
            # Machines have it, images without anything but the C library do not; what is built here has it inside.
            [ "$2" = given ] || die "$1 needs $library, which the image of the Dockerfile does not have"
            say "$1 needs $library, which Amazon Linux and Lambda have and the Dockerfile's image has not: an image of it would not start"
            ;;
        *) die "$1 needs $library, which not every machine has" ;;
        esac
    done < <(objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }')
    said="$("$1" --version 2>&1)" || die "$1 does not run here: $said"
    [ "$said" = "photo-gallery $number" ] || die "$1 says it is \"$said\", and Cargo.toml says $number"
}

if [ -n "$binary" ]; then
    [ -f "$binary" ] || die "--binary: there is no file $binary"
    check "$binary" given
else
    build
    check "$binary" built
fi

# --- the archives ------------------------------------------------------------------------------------------------------------

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
install -m 0755 "$binary" "$scratch/photo-gallery"
install -m 0644 NOTICE "$scratch/NOTICE"
size="$(stat -c %s "$scratch/photo-gallery")"
((size <= largest)) ||
    say "the program is $((size / 1000000)) MB large, more than $((largest / 1000000)): an image of it would be larger than 80 MB, and functions begin slowly. Is it stripped?"
python3 deploy/licenses.py >"$scratch/LICENSES" || die "the licences of what is inside could not be gathered: see above"
chmod 0644 "$scratch/LICENSES"
[ -z "$rds_ca" ] || install -m 0644 "$rds_ca" "$scratch/rds-ca.pem"
mkdir -p "$output"
archive="photo-gallery-$version-x86_64.tar.gz"

pack_archive() {
    tar --create --format=ustar --sort=name --mtime="@$date" --owner=0 --group=0 --numeric-owner \
        -C "$scratch" LICENSES NOTICE photo-gallery | gzip --no-name >"$output/$archive.part"
    mv "$output/$archive.part" "$output/$archive"
    (cd "$output" && sha256sum "$archive" >"$archive.sha256")
}

pack_zip() {
    python3 - "$scratch" "$date" "$output/lambda-x86_64.zip" <<'PYTHON'
import os, sys, time, zipfile
source, date, made = sys.argv[1:]
with zipfile.ZipFile(made + ".part", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, file, mode in (("bootstrap", "photo-gallery", 0o100755), ("rds-ca.pem", "rds-ca.pem", 0o100644)):
        path = os.path.join(source, file)
        if os.path.exists(path):
            entry = zipfile.ZipInfo(name, time.gmtime(max(int(date), 315532800))[:6])
            entry.create_system, entry.external_attr, entry.compress_type = 3, mode << 16, zipfile.ZIP_DEFLATED
            with open(path, "rb") as content:
                archive.writestr(entry, content.read())
os.replace(made + ".part", made)
PYTHON
}

pack_zip &
pack_archive
wait $! || die "Lambda's zip could not be made: see above"

echo "photo-gallery $version for x86_64 with glibc $glibc or newer; the newest symbol it needs is $newest"
for made in "photo-gallery:$scratch/photo-gallery" "$archive:$output/$archive" "lambda-x86_64.zip:$output/lambda-x86_64.zip"; do
    printf '%6.1f MB  %s\n' "$(stat -c %s "${made#*:}" | awk '{ print $1 / 1e6 }')" "${made%%:*}"
done
echo "in $output"
