# Exchanges the static pods of this node for those that the kubeadm now on it
# generates. Arguments: Kubernetes version, kubeadm's configuration, names of the
# static pods. It restarts nothing that would stay the same, and goes on where a
# former call was cut off. It is run by bash with -euo pipefail.
version=$1 config=$2
shift 2
pods=("$@")
manifests=/etc/kubernetes/manifests
stage=/etc/slipway/static-pods
start_limit=240 stop_limit=100

# A former call may still go on when only its caller was killed.
exec 9>/run/slipway-static-pods.lock
flock 9
pkill -KILL -x kubeadm || true

# The new ones.
rm -rf "$stage/new"
mkdir -p "$stage/new" "$stage/old"
sed "s|^kubernetesVersion: .*|kubernetesVersion: $version|" "$config" >"$stage/kubeadm.conf"
export KUBEADM_INIT_DRYRUN_DIR=$stage/new
kubeadm init phase control-plane all --dry-run --config "$stage/kubeadm.conf" >/dev/null
kubeadm init phase etcd local --dry-run --config "$stage/kubeadm.conf" >/dev/null
unset KUBEADM_INIT_DRYRUN_DIR

same=yes
for pod in "${pods[@]}"; do
  cmp --silent "$stage/new/$pod.yaml" "$manifests/$pod.yaml" || same=no
  # What a former call took away and did not put back is in old already.
  if [[ -e $manifests/$pod.yaml ]]; then
    cp "$manifests/$pod.yaml" "$stage/old/$pod.yaml.copy"
    mv "$stage/old/$pod.yaml.copy" "$stage/old/$pod.yaml"
  fi
done

# uids are the identities under which the node runs a static pod.
uids() {
  crictl pods --output json --label "component=$1" --namespace kube-system | jq -r '.items[].metadata.uid'
}

# take removes static pods and waits until they have ended and the kubelet has
# forgotten them: sooner it would let their successors wait.
take() {
  local pod uid end=$((SECONDS + stop_limit)) folders=()
  for pod in "$@"; do
    for uid in $(uids "$pod"); do
      folders+=("/var/lib/kubelet/pods/$uid")
    done
    rm -f "$manifests/$pod.yaml"
  done
  for folder in "${folders[@]}"; do
    while [[ -e $folder ]]; do
      if ((SECONDS > end)); then
        echo "$* did not end within $stop_limit seconds" >&2
        return 1
      fi
      sleep 0.2
    done
  done
}

# put starts static pods from a folder: etcd, then the API server, then what
# works with it, each when it finds what it needs. One that does not find it ends
# and is started again only after a pause.
put() {
  local folder=$1 pod
  place "$folder" etcd
  await http://127.0.0.1:2381/readyz || return 1
  place "$folder" kube-apiserver
  await https://127.0.0.1:6443/readyz || return 1
  for pod in "${pods[@]}"; do
    [[ $pod == etcd || $pod == kube-apiserver ]] || place "$folder" "$pod"
  done
  await https://127.0.0.1:10257/healthz https://127.0.0.1:10259/livez
}

place() {
  cp "$1/$2.yaml" "$stage/$2.yaml"
  mv "$stage/$2.yaml" "$manifests/$2.yaml"
}

# await waits until each address answers with success.
await() {
  local end=$((SECONDS + start_limit)) url
  for url in "$@"; do
    until curl --silent --fail --insecure --max-time 5 --output /dev/null "$url"; do
      ((SECONDS <= end)) || return 1
      sleep 0.3
    done
  done
}

if [[ $same == yes ]]; then
  await https://127.0.0.1:6443/readyz && exit 0
  echo "the API server is not ready" >&2
  exit 1
fi

echo "renewing certificates"
kubeadm certs renew all --config "$stage/kubeadm.conf"

before_etcd=()
for pod in "${pods[@]}"; do
  [[ $pod == etcd ]] || before_etcd+=("$pod")
done
echo "stopping ${before_etcd[*]}"
take "${before_etcd[@]}"
echo "stopping etcd"
take etcd
echo "starting ${pods[*]}"
if ! put "$stage/new"; then
  echo "putting the former static pods back" >&2
  take "${pods[@]}" || true
  put "$stage/old" || true
  echo "the new static pods were not ready after $start_limit seconds; the former ones were put back" >&2
  exit 1
fi
rm -rf "$stage/old"
# A kubelet that starts tells the API of its static pods at once; one that runs
# does so after a while, and kubeadm waits for it.
systemctl restart kubelet
