# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # deploy.sh and account.sh set and read what is not said here
# The release and the certificate authorities of RDS in the artifacts bucket: part of deploy.sh, whose options `release` and `rds_ca` say
# what is wanted, and whose `given` is told what came of it.

ca_address=https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem

sha256() { sha256sum "$1" | cut -d ' ' -f 1; }

# Prints the SHA-256 with which an object was stored, nothing when it is not there: stored BUCKET KEY
stored() {
    local sha
    sha="$(cloud s3api head-object --bucket "$1" --key "$2" --query Metadata.sha256 2>"$scratch/error")" || {
        grep -qE '\(404\)|Not Found' "$scratch/error" || die "s3://$1/$2 cannot be looked at: $(last_line)"
        return 0
    }
    echo "${sha/None/unknown}"
}

# Stores a file where another, or none, lies now: store FILE SHA-256 BUCKET KEY [OPTION OF S3 CP...]
store() {
    local file="$1" sha="$2" place="s3://$3/$4"
    shift 4
    cloud s3 cp --only-show-errors --metadata "sha256=$sha" "$@" "$file" "$place" 2>"$scratch/error" || die "$file could not be stored as $place: $(last_line)"
    say "Stored $place"
    changed=$((changed + 1))
}

archive="" archive_sha="" zip="" version="" authorities_given=""

# Checks the release that is given: its files are then in $archive and $zip, its version, or that of the one in the bucket, in $version.
find_release() {
    local found
    if [ -d "$release" ]; then
        found=("$release"/photo-gallery-*-x86_64.tar.gz)
        [ -f "${found[0]}" ] || die "$release holds no release: package.sh makes photo-gallery-VERSION-x86_64.tar.gz there"
        [ ${#found[@]} = 1 ] || die "$release holds several releases: name the archive that is meant"
        archive="${found[0]}"
    elif [[ "$release" == *.tar.gz ]]; then
        archive="$release"
    elif [[ "$release" =~ ^[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.-]*$ ]]; then
        version="$release"
        return
    else
        die "--release: $release is no archive, no folder and no version"
    fi
    [ -f "$archive" ] || die "--release: there is no archive $archive"
    version="${archive##*/}"
    [[ "$version" =~ ^photo-gallery-(.+)-x86_64\.tar\.gz$ ]] || die "$archive is not named as package.sh names it, photo-gallery-VERSION-x86_64.tar.gz"
    version="${BASH_REMATCH[1]}"
    zip="${archive%/*}/lambda-x86_64.zip"
    [ "$zip" != "$archive/lambda-x86_64.zip" ] || zip=lambda-x86_64.zip
    [ -f "$archive.sha256" ] && [ -f "$zip" ] || die "beside $archive there must be ${archive##*/}.sha256 and lambda-x86_64.zip, as package.sh makes them"
    read -r archive_sha _ <"$archive.sha256"
    [ "$archive_sha" = "$(sha256 "$archive")" ] || die "$archive is damaged: its SHA-256 is not what ${archive##*/}.sha256 says. Copy it again, or make it anew"
}

check_authorities() {
    grep -q -e '-----BEGIN CERTIFICATE-----' "$rds_ca" 2>/dev/null || die "--rds-ca: $rds_ca is no PEM file with certificates; $ca_address is one"
}

# Puts the authorities of RDS into the bucket, and their SHA-256 into the parameters.
provide_authorities() {
    local there sha
    authorities_given="$rds_ca"
    there="$(stored "$1" rds-ca.pem)"
    if [ -z "$rds_ca" ] && [ -z "$there" ]; then
        rds_ca="$scratch/rds-ca.pem"
        say "Fetching $ca_address"
        curl -fsS --retry 3 --max-time 60 -o "$rds_ca" "$ca_address" 2>"$scratch/error" || die "$ca_address cannot be fetched ($(last_line)): fetch it elsewhere and give --rds-ca"
    fi
    if [ -z "$rds_ca" ]; then
        rds_ca="$scratch/rds-ca.pem"
        cloud s3 cp --only-show-errors "s3://$1/rds-ca.pem" "$rds_ca"
    fi
    check_authorities
    sha="$(sha256 "$rds_ca")"
    [ "$there" = "$sha" ] || store "$rds_ca" "$sha" "$1" rds-ca.pem
    given[RdsCaSha256]="$sha"
}

# Prints the SHA-256 of an archive: that with which it was stored or, where it was stored without, that of the file beside it:
# told_sha256 BUCKET KEY SHA-256-STORED
told_sha256() {
    local sha="$3"
    [ "$sha" != unknown ] || read -r sha _ < <(cloud s3 cp --only-show-errors "s3://$1/$2.sha256" - 2>"$scratch/error") || true
    [[ "$sha" =~ ^[0-9a-f]{64}$ ]] || die "s3://$1/$2 has no SHA-256, and s3://$1/$2.sha256 tells none: remove it and publish the release again"
    echo "$sha"
}

# Puts the release into the bucket unless it is there, building it when it is this checkout's, and its names into the parameters.
provide_release() {
    local bucket="$1" prefix there zip_there
    if [ -z "$release" ]; then
        version="$("$here/package.sh" --print-version)" || die "package.sh cannot tell this checkout's version: see above, or give --release"
    fi
    prefix="releases/$version"
    there="$(stored "$bucket" "$prefix/photo-gallery-$version-x86_64.tar.gz")"
    zip_there="$(stored "$bucket" "$prefix/lambda-x86_64.zip")"
    if [ -z "$archive" ]; then
        if [ -n "$there" ] && [ -n "$zip_there" ]; then
            given[Release]="$version" given[ReleaseSha256]="$(told_sha256 "$bucket" "$prefix/photo-gallery-$version-x86_64.tar.gz" "$there")"
            if [ -n "$authorities_given" ]; then
                zip="$scratch/stored.zip"
                cloud s3 cp --only-show-errors "s3://$bucket/$prefix/lambda-x86_64.zip" "$zip" 2>"$scratch/error" || die "s3://$bucket/$prefix/lambda-x86_64.zip cannot be fetched: $(last_line)"
                store_zip "$bucket" "$prefix/lambda-x86_64.zip" "$zip_there"
            fi
            return
        fi
        [ -z "$release" ] || die "s3://$bucket holds no release $version"
        say "Building release $version"
        "$here/package.sh" --output "$scratch/release" --rds-ca "$rds_ca" >"$scratch/package" || die "the release could not be built: see above"
        release="$scratch/release"
        find_release
    fi
    [ -z "$there" ] || [ "$(told_sha256 "$bucket" "$prefix/${archive##*/}" "$there")" = "$archive_sha" ] ||
        die "s3://$bucket holds a release $version with other content, and releases never change: give --release $version to run that one, or package a new commit"
    given[Release]="$version" given[ReleaseSha256]="$archive_sha"
    if [ -z "$there" ]; then
        store "$archive" "$archive_sha" "$bucket" "$prefix/${archive##*/}"
        store "$archive.sha256" "$(sha256 "$archive.sha256")" "$bucket" "$prefix/${archive##*/}.sha256"
    fi
    store_zip "$bucket" "$prefix/lambda-x86_64.zip" "$zip_there"
}

# Stores Lambda's zip with the authorities of RDS in it: store_zip BUCKET KEY SHA-256-THERE
# Functions do not notice new content under an old key: they are told.
store_zip() {
    local whole="$scratch/lambda-x86_64.zip" sha stack function
    cp "$zip" "$whole"
    if ! unzip -p "$whole" rds-ca.pem 2>/dev/null | cmp -s - "$rds_ca"; then
        [ "$rds_ca" -ef "$scratch/rds-ca.pem" ] || cp "$rds_ca" "$scratch/rds-ca.pem"
        TZ=UTC touch -t 198001010000 "$scratch/rds-ca.pem"
        TZ=UTC zip -q -X -j "$whole" "$scratch/rds-ca.pem" || die "rds-ca.pem could not be added to $zip"
    fi
    sha="$(sha256 "$whole")"
    [ "$3" != "$sha" ] || return 0
    store "$whole" "$sha" "$1" "$2"
    [ -n "$3" ] || return 0
    for stack in migrate messaging; do
        [ -n "${status_of["$name-$stack"]:-}" ] || continue
        while read -r _ function; do
            cloud lambda update-function-code --function-name "$function" --s3-bucket "$1" --s3-key "$2" >/dev/null
            cloud lambda wait function-updated --function-name "$function"
        done < <(resources "$name-$stack" AWS::Lambda::Function)
    done
}
