package openpgp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-release/slipway/release/sign"
	"github.com/slipway-release/slipway/release/sign/openpgp"
)

func TestClaimJSON(t *testing.T) {
	data, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"` + digest.String() +
		`"},"identity":{"docker-reference":"` + repository + ":" + version + `"}},"optional":{"creator":"slipway (stream=nightly; architecture=amd64)","timestamp":1795000000}}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	c, err := openpgp.ParseClaim(data)
	if err != nil || c.Says() != says {
		t.Errorf("read back as %+v, %v", c.Says(), err)
	}
}

func TestNewClaimRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		reference string
		says      sign.Claim
	}{
		"a tag":         {repository + ":" + version, says},
		"no version":    {repository + "@" + digest.String(), sign.Claim{Stream: "nightly"}},
		"a loose word":  {repository + "@" + digest.String(), sign.Claim{Version: version, Stream: "a; architecture=arm64)"}},
		"short digests": {repository + "@sha256:ab", says},
	} {
		if _, err := openpgp.NewClaim(test.reference, test.says, time.Now()); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestParseClaimIsStrict(t *testing.T) {
	genuine, err := claimAbout(t, digest).JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"unknown field":      {`"optional":{`, `"optional":{"version":"1",`},
		"unknown top field":  {`"optional":`, `"extra":1,"optional":`},
		"field twice":        {`"image":`, `"type":"atomic container signature","image":`},
		"case of a field":    {`"docker-manifest-digest"`, `"Docker-Manifest-Digest"`},
		"another type":       {"atomic container signature", "cosign container image signature"},
		"another algorithm":  {"sha256:", "sha512:"},
		"empty identity":     {repository + ":" + version, ""},
		"no digest":          {digest.String(), ""},
		"something after it": {`}}`, `}}{}`},
	} {
		changed := strings.Replace(string(genuine), change[0], change[1], 1)
		if change[0] == "}}" {
			changed = string(genuine) + "{}"
		}
		if changed == string(genuine) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := openpgp.ParseClaim([]byte(changed)); err == nil {
			t.Errorf("%s was accepted: %s", name, changed)
		}
	}
}

// TestSaysOfOthers reads claims as OKD and OpenShift make them.
func TestSaysOfOthers(t *testing.T) {
	for reference, want := range map[string]sign.Claim{
		"registry.ci.openshift.org/origin/release-scos:4.19.0-okd-scos.16":            {Version: "4.19.0-okd-scos.16", Stream: "okd-scos"},
		"quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64":                     {Version: "4.15.0", Architecture: "amd64"},
		"quay.io/openshift-release-dev/ocp-release:4.15.0-multi":                      {Version: "4.15.0", Architecture: "multi"},
		"registry.ci.openshift.org/ocp/release:4.16.0-0.nightly-2024-03-10-010116":    {Version: "4.16.0-0.nightly-2024-03-10-010116", Stream: "nightly"},
		"quay.io/openshift-release-dev/ocp-release@sha256:" + strings.Repeat("0", 64): {},
		"localhost:5000/release": {},
		"":                       {},
	} {
		if diff := cmp.Diff(want, openpgp.Claim{Reference: reference, Creator: "OpenShift release-controller"}.Says()); diff != "" {
			t.Errorf("%s: %s", reference, diff)
		}
	}
}
