#!/usr/bin/env bash
# Makes a fresh Amazon Linux 2023 machine an instance of the gallery and tells CloudFormation how it went: EC2 user data, below the
# variables that required() names. A second run changes only what differs. Installs no package. Log: /var/log/user-data.log.
set -Eeuo pipefail
export LC_ALL=C.UTF-8 AWS_PAGER='' AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=4 AWS_METADATA_SERVICE_NUM_ATTEMPTS=5

releases=/opt/photo-gallery
etc=/etc/photo-gallery
commands=/usr/local/lib/photo-gallery
begin=start
region=''
instance=''
reason='It was ended.'

say() { printf '%(%FT%TZ)T %s\n' -1 "$*"; }

die() {
    reason="$*"
    exit 1
}

again() { # COMMAND...
    local pause
    for pause in 1 2 4 8 0; do
        "$@" && return
        [ "$pause" = 0 ] || sleep "$pause"
    done
    return 1
}

quoted() { # NAME VALUE: a line for systemd's EnvironmentFile
    local value=${2//\\/\\\\}
    value=${value//\"/\\\"}
    value=${value//\$/\\\$}
    printf '%s="%s"\n' "$1" "${value//\`/\\\`}"
}

secret() { # NAME ARN
    local value
    value=$(again aws secretsmanager get-secret-value --secret-id "$2" --query SecretString --output text \
        --cli-connect-timeout 3 --cli-read-timeout 5) || {
        echo "The secret $1 cannot be read: $2" >&2
        return 1
    }
    quoted "$1" "$value"
}

secrets() { # reads all secrets into memory, before each start
    local here=/run/photo-gallery ended='' name arn new pid readers=() failed=no
    umask 077
    mkdir -p "$here"
    [ ! -e "$here/ended" ] || ended=$(<"$here/ended")
    rm -f "$here/ended"
    case "$ended" in
    signal | core-dump | oom-kill | watchdog)
        # The program was killed: it comes back at once, with what it had.
        [ ! -e "$here/secrets" ] || return 0 ;;
    esac
    new=$(mktemp -d "$here/new.XXXXXX")
    while IFS='=' read -r name arn; do
        secret "$name" "$arn" >"$new/$name" &
        readers+=("$!")
    done </etc/photo-gallery/secrets
    for pid in "${readers[@]}"; do wait "$pid" || failed=yes; done
    if [ "$failed" = no ]; then
        cat "$new"/* >"$here/secrets.new"
        mv "$here/secrets.new" "$here/secrets"
    fi
    rm -rf "$new"
    [ "$failed" = no ] && return
    [ -e "$here/secrets" ] || return 1
    echo 'The secrets of the last start are used.' >&2
}

ship() { # GROUP STREAM: sends what the journal has got since the last time
    local here=/var/lib/photo-gallery-logs after=() to=(--log-group-name "$1" --log-stream-name "$2")
    if [ -e "$here/cursor" ]; then
        after=(--after-cursor "$(<"$here/cursor")")
    else
        aws logs create-log-stream "${to[@]}" 2>&1 | grep -v AlreadyExists || true
    fi
    journalctl -q -u photo-gallery -u cloud-final -o short-unix --no-hostname --show-cursor "${after[@]}" >"$here/lines"
    sed -n 's/^-- cursor: //p' "$here/lines" >"$here/next"
    [ -s "$here/next" ] || return 0
    tr '\t' ' ' <"$here/lines" | tr -d '\000-\011\013-\037\177' |
        sed -nE 's/[\\"]/\\&/g; s/^([0-9]+)\.([0-9]{3})[0-9]* (.*)$/{"timestamp":\1\2,"message":"\3"},/p' |
        split -C 400K --filter="sed '1s/^/[/; \$s/,\$/]/' >$here/part
            aws logs put-log-events ${to[*]} --log-events file://$here/part >/dev/null" || return
    mv "$here/next" "$here/cursor"
}

ship_on() { # GROUP STREAM: until told to stop, and then once more
    local on=yes
    trap 'on=no' TERM
    while [ "$on" = yes ]; do
        ship "$@" || true
        sleep 30 &
        [ "$on" = no ] || wait "$!" || true
    done
    ship "$@"
}

required() {
    local name
    for name in ROLE STACK_NAME RESOURCE RELEASE RELEASE_SHA256 RDS_CA RDS_CA_SHA256 SETTINGS SECRETS; do
        [ -n "${!name:-}" ] || die "The variable $name is missing in the user data, above the script."
    done
    case "$ROLE" in
    web) command=serve ;;
    worker) command=work ;;
    *) die "ROLE must be web or worker, not $ROLE." ;;
    esac
    version=${RELEASE%/*}
    version=${version##*/}
    [[ "$RELEASE" =~ ^s3://.+/[0-9A-Za-z][0-9A-Za-z._-]*/[^/]+$ ]] ||
        die "RELEASE must be s3://BUCKET/releases/VERSION/ARCHIVE, not $RELEASE."
}

about() { # PATH: what IMDSv2 says of this instance
    local ask=(curl -sSf --noproxy '*' --connect-timeout 2 --max-time 5) token
    token=$("${ask[@]}" -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' http://169.254.169.254/latest/api/token) &&
        "${ask[@]}" -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

put() { # FILE MODE TEXT: remembers whether the file was otherwise
    if [ ! -e "$1" ] || [ "$(<"$1")" != "$3" ]; then
        begin=restart
        printf '%s\n' "$3" >"$scratch/put"
        install -m "$2" "$scratch/put" "$1.new"
        mv "$1.new" "$1"
    fi
}

script() { # FUNCTION...: a command made of them, that calls the last
    printf '#!/usr/bin/env bash\n# Written by the user data.\nset -euo pipefail\n'
    declare -f "$@"
    printf '%s "$@"' "${!#}"
}

fetch() { # URL SHA256 FILE
    again aws s3 cp --only-show-errors "$1" "$3" || die "$1 cannot be fetched; the log says why."
    echo "$2  $3" | sha256sum --check --status ||
        die "$1 has the SHA-256 $(sha256sum "$3" | cut -d ' ' -f 1), and not $2: it is not what was released."
}

install_release() {
    local folder="$releases/$version"
    if [ "$(cat "$folder/.sha256" 2>/dev/null)" != "$RELEASE_SHA256" ]; then
        fetch "$RELEASE" "$RELEASE_SHA256" "$scratch/release.tar.gz"
        rm -rf "$folder.new"
        mkdir -p "$folder.new"
        tar -xzf "$scratch/release.tar.gz" --no-same-owner -C "$folder.new"
        "$folder.new/photo-gallery" --version || die "The program in $RELEASE does not run on this machine."
        echo "$RELEASE_SHA256" >"$folder.new/.sha256"
        rm -rf "$folder"
        mv "$folder.new" "$folder"
        begin=restart
    fi
    if [ "$(readlink "$releases/current")" != "$version" ]; then
        ln -sfn "$version" "$releases/current.new"
        mv -T "$releases/current.new" "$releases/current"
        begin=restart
    fi
}

install_authorities() {
    local file="$etc/rds-ca.pem"
    echo "$RDS_CA_SHA256  $file" | sha256sum --check --status 2>/dev/null && return
    fetch "$RDS_CA" "$RDS_CA_SHA256" "$scratch/rds-ca.pem"
    install -m 0644 "$scratch/rds-ca.pem" "$file"
    begin=restart
}

environment() {
    local name value
    quoted AWS_REGION "$region"
    quoted GALLERY__DATA /var/lib/photo-gallery
    while IFS='=' read -r name value; do
        [ -z "$name" ] || quoted "$name" "$value"
    done <<<"$SETTINGS"
}

unit() { # NAME DESCRIPTION ORDER LINES: a service, hardened
    put "/etc/systemd/system/$1.service" 0644 "[Unit]
Description=$2
Wants=network-online.target
After=network-online.target
$3
StartLimitIntervalSec=0

[Service]
$4
Restart=always
RestartSec=1
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target"
}

install_gallery() {
    id gallery >/dev/null 2>&1 || useradd -r -U -M -d /var/lib/photo-gallery -s /usr/sbin/nologin gallery
    install_authorities
    put "$etc/environment" 0640 "$(environment)"
    put "$etc/secrets" 0640 "$(grep '=' <<<"$SECRETS")"
    put "$commands/secrets" 0755 "$(script again quoted secret secrets)"
    install_release
    # TimeoutStopSec is longer than draining, what is in hand, and the catalog's end: 30 + 30 + 15.
    unit photo-gallery "Photo gallery, $ROLE" '' "Type=exec
User=gallery
WorkingDirectory=/var/lib/photo-gallery
StateDirectory=photo-gallery
StateDirectoryMode=0700
EnvironmentFile=$etc/environment
EnvironmentFile=-/run/photo-gallery/secrets
ExecStartPre=+$commands/secrets
ExecStart=$releases/current/photo-gallery $command
ExecStopPost=+/bin/sh -c 'echo \$\$SERVICE_RESULT >/run/photo-gallery/ended'
TimeoutStartSec=180
TimeoutStopSec=90
LimitNOFILE=65536
MemoryDenyWriteExecute=yes
MemoryHigh=75%
MemoryMax=90%"
    systemctl daemon-reload
    systemctl -q enable photo-gallery
    systemctl "$begin" photo-gallery || die "The gallery does not start: $(last_words)"
}

install_logs() {
    put "$commands/ship-logs" 0755 "$(script ship ship_on)"
    unit photo-gallery-logs "Sends the gallery's journal to CloudWatch Logs" Before=photo-gallery.service "Environment=AWS_REGION=$region
StateDirectory=photo-gallery-logs
ExecStart=$commands/ship-logs '$LOG_GROUP' $instance
KillMode=mixed"
    beside photo-gallery-logs
}

install_collector() { # The operator has put it into the bucket, beside the authorities: a tar.gz of the one program.
    local program=aws-otel-collector
    if [ ! -x "$commands/$program" ]; then
        aws s3 cp --only-show-errors "${RDS_CA%/*}/$program.tar.gz" "$scratch/$program.tar.gz" &&
            tar -xzf "$scratch/$program.tar.gz" --no-same-owner -C "$commands" "$program" || return
        begin=restart
    fi
    put "$etc/collector.yaml" 0644 "receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:4317'}}}}
processors: {batch: {}}
exporters: {awsxray: {region: $region}}
service: {pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [awsxray]}}}"
    unit photo-gallery-collector "Sends the gallery's traces to X-Ray" Before=photo-gallery.service "DynamicUser=yes
ExecStart=$commands/$program --config $etc/collector.yaml
MemoryDenyWriteExecute=yes
MemoryMax=20%"
    beside photo-gallery-collector
}

beside() { # UNIT: starts it, anew where something of it changed; the gallery is not restarted for it
    systemctl daemon-reload
    systemctl -q enable "$1"
    systemctl "$begin" "$1"
    begin=start
}

wait_until_it_serves() {
    local end=$((SECONDS + 180)) since=''
    # As long as the load balancer takes to see it: two checks, 10 s apart. Only then may another machine go.
    until [ -n "$since" ] && ((SECONDS >= since + 25)); do
        if curl -sf --noproxy '*' --max-time 3 -o /dev/null http://127.0.0.1:5000/ping; then
            : "${since:=$SECONDS}"
        else
            since=''
            ((SECONDS < end)) || die "The gallery does not answer /ping: $(last_words)"
        fi
        sleep 0.5
    done
}

wait_until_it_stays() {
    local process
    for _ in {1..12}; do
        process=$(systemctl show -p MainPID --value photo-gallery)
        sleep 10
        [ "$process" = 0 ] || [ "$process" != "$(systemctl show -p MainPID --value photo-gallery)" ] || return 0
    done
    die "The worker does not stay alive: $(last_words)"
}

last_words() { journalctl -qrn 3 _SYSTEMD_UNIT=photo-gallery.service -o cat | tr '\n' ' ' | cut -c 1-500; }

signal() { # CODE: refused when CloudFormation waits for none, which is no failure
    local to=(--stack "${STACK_NAME:-}" --resource "${RESOURCE:-}" --region "$region")
    if [ -x /opt/aws/bin/cfn-signal ]; then
        /opt/aws/bin/cfn-signal -e "$1" -r "$reason" "${to[@]}"
    else
        to=(--stack-name "${STACK_NAME:-}" --logical-resource-id "${RESOURCE:-}" --unique-id "$instance")
        aws cloudformation signal-resource "${to[@]}" --status "$([ "$1" = 0 ] && echo SUCCESS || echo FAILURE)"
    fi || say 'CloudFormation takes no signal.'
}

finish() {
    local code=$?
    trap - EXIT ERR
    set +e
    rm -rf "$scratch"
    say "$reason"
    [ -z "$region" ] || signal "$code"
    [ "$code" = 0 ] || systemctl -q try-restart photo-gallery-logs
    exec >&- 2>&-
    wait "$log"
    exit "$code"
}

main() {
    umask 022
    scratch=$(mktemp -d)
    exec > >(exec tee -a /var/log/user-data.log) 2>&1
    log=$!
    trap finish EXIT
    trap 'reason="Line $LINENO failed: $BASH_COMMAND"' ERR
    region=$(again about placement/region) || die 'IMDSv2 tells no region.'
    instance=$(again about instance-id) || die 'IMDSv2 tells no instance id.'
    export AWS_REGION="$region" AWS_DEFAULT_REGION="$region"
    required
    say "Instance $instance in $region becomes $ROLE with $version."
    install -d -m 0755 "$etc" "$commands"
    [ -z "${LOG_GROUP:-}" ] || install_logs
    [ "${COLLECTOR:-no}" != yes ] || install_collector || say 'The collector is not there: traces are not collected.'
    install_gallery
    if [ "$ROLE" = web ]; then wait_until_it_serves; else wait_until_it_stays; fi
    reason="$ROLE $version is ready after $SECONDS s."
}

main
