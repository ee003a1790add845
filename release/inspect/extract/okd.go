package extract

// OKD is the table for payloads of OKD, whose client tools lie in the images cli,
// cli-artifacts, installer, installer-artifacts, baremetal-installer and
// cloud-credential-operator. Names of archives are those of its releases.
func OKD() []Tool {
	version := map[string]string{MarkVersion: "_RELEASE_VERSION_LOCATION_"}
	both := map[string]string{MarkVersion: "_RELEASE_VERSION_LOCATION_", MarkImage: "_RELEASE_IMAGE_LOCATION_"}
	client := func(component, path, platform, archive string, names ...string) Tool {
		return Tool{Name: "oc", Component: component, Path: path, Platforms: []string{platform},
			Archive: "openshift-client-" + archive, Names: names, Markers: version, Optional: component != "cli"}
	}
	installer := func(component, path, platform, archive string) Tool {
		return Tool{Name: "openshift-install", Component: component, Path: path, Platforms: []string{platform},
			Archive: "openshift-install-" + archive, Markers: both, Optional: true}
	}
	return []Tool{
		client("cli", "/usr/bin/oc", "linux/payload", "linux-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/linux_amd64/oc", "linux/amd64", "linux-amd64-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/linux_arm64/oc", "linux/arm64", "linux-arm64-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/linux_ppc64le/oc", "linux/ppc64le", "linux-ppc64le-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/linux_s390x/oc", "linux/s390x", "linux-s390x-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/mac/oc", "darwin/amd64", "mac-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/mac_arm64/oc", "darwin/arm64", "mac-arm64-{version}.tar.gz", "kubectl"),
		client("cli-artifacts", "/usr/share/openshift/windows/oc.exe", "windows/amd64", "windows-{version}.zip"),
		installer("installer", "/usr/bin/openshift-install", "linux/payload", "linux-{version}.tar.gz"),
		installer("installer-artifacts", "/usr/share/openshift/linux_amd64/openshift-install", "linux/amd64", "linux-amd64-{version}.tar.gz"),
		installer("installer-artifacts", "/usr/share/openshift/linux_arm64/openshift-install", "linux/arm64", "linux-arm64-{version}.tar.gz"),
		installer("installer-artifacts", "/usr/share/openshift/mac/openshift-install", "darwin/amd64", "mac-{version}.tar.gz"),
		installer("installer-artifacts", "/usr/share/openshift/mac_arm64/openshift-install", "darwin/arm64", "mac-arm64-{version}.tar.gz"),
		{Name: "openshift-baremetal-install", Component: "baremetal-installer", Path: "/usr/bin/openshift-install",
			Platforms: []string{"linux/payload"}, Archive: "openshift-baremetal-install-linux-{version}.tar.gz", Markers: both, Optional: true},
		{Name: "ccoctl", Component: "cloud-credential-operator", Path: "/usr/bin/ccoctl",
			Platforms: []string{"linux/payload"}, Archive: "ccoctl-linux-{version}.tar.gz", Optional: true},
	}
}
