package sign

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// Package is a piece of software in an image.
type Package struct {
	Kind    string // golang or deb
	Name    string
	Version string
	PURL    string
	Digest  map[string]string // by algorithm
}

// ImageContent is an image and what was found in it.
type ImageContent struct {
	Component string // "etcd"
	Reference string // canonical, with digest
	Packages  []Package
}

// SBOMOptions say what a bill of materials is about. Nothing else goes into it:
// the same options give the same bytes.
type SBOMOptions struct {
	Name      string    // of the document: distribution and version
	Namespace string    // URI that is this document's alone
	Created   time.Time // the release's time, not the clock's
	Tool      string    // "slipway-v1.0.0"
	Payload   ImageContent
	Images    []ImageContent
}

const noAssertion = "NOASSERTION"

// NewSBOM returns an SPDX 2.3 document in JSON: the payload, which contains the
// images, which contain their packages. A package in several images stands in it
// once.
func NewSBOM(o SBOMOptions) (json.RawMessage, error) {
	if u, err := url.Parse(o.Namespace); err != nil || !u.IsAbs() || u.Fragment != "" {
		return nil, fmt.Errorf("writing the bill of materials %q: the namespace %q must be an absolute URI without a fragment", o.Name, o.Namespace)
	}
	return writeSBOM(o, func(b *sbomBuilder) error { return b.build(o) })
}

// NewImageSBOM returns an SPDX 2.3 document of one image and its packages. Its
// name and namespace are those of the options, with the image's name and digest
// added, so that every image has a document of its own.
func NewImageSBOM(o SBOMOptions, image ImageContent) (json.RawMessage, error) {
	_, digest, err := pinned(image.Reference)
	if err != nil {
		return nil, fmt.Errorf("writing the bill of materials %q: component %q: %w", o.Name, image.Component, err)
	}
	o.Name += "-" + image.Component
	o.Namespace = strings.TrimSuffix(o.Namespace, "/") + "/" + url.PathEscape(image.Component) + "/" + digest.Hex
	return writeSBOM(o, func(b *sbomBuilder) error {
		id, err := b.image(image)
		if err != nil {
			return err
		}
		b.relate("DOCUMENT", "DESCRIBES", id)
		return nil
	})
}

func writeSBOM(o SBOMOptions, build func(*sbomBuilder) error) (json.RawMessage, error) {
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: o.Name, DocumentNamespace: o.Namespace,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: o.Tool}},
			Created:  o.Created.UTC().Format("2006-01-02T15:04:05Z"),
		},
	}
	if err := build(&sbomBuilder{doc: doc, known: map[common.ElementID]bool{}}); err != nil {
		return nil, fmt.Errorf("writing the bill of materials %q: %w", o.Name, err)
	}
	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out); err != nil {
		return nil, fmt.Errorf("writing the bill of materials %q: %w", o.Name, err)
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

type sbomBuilder struct {
	doc   *spdx.Document
	known map[common.ElementID]bool
}

func (b *sbomBuilder) build(o SBOMOptions) error {
	payload, err := b.image(o.Payload)
	if err != nil {
		return err
	}
	b.relate("DOCUMENT", "DESCRIBES", payload)
	images := slices.Clone(o.Images)
	slices.SortFunc(images, func(x, y ImageContent) int { return cmp.Compare(x.Component, y.Component) })
	for _, img := range images {
		id, err := b.image(img)
		if err != nil {
			return err
		}
		b.relate(payload, "CONTAINS", id)
	}
	return nil
}

// image adds an image with its packages, and returns its identifier.
func (b *sbomBuilder) image(img ImageContent) (common.ElementID, error) {
	repository, digest, err := pinned(img.Reference)
	if err != nil {
		return "", fmt.Errorf("component %q: %w", img.Component, err)
	}
	id := elementID("Image-" + img.Component)
	if b.known[id] {
		return "", fmt.Errorf("component %q: it is there twice", img.Component)
	}
	b.add(id, &spdx.Package{
		PackageName: img.Component, PackageVersion: digest.String(), PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums: []common.Checksum{{Algorithm: common.SHA256, Value: digest.Hex}},
		PackageExternalReferences: purl(fmt.Sprintf("pkg:oci/%s@sha256%%3A%s?repository_url=%s",
			strings.ToLower(path.Base(repository)), digest.Hex, url.QueryEscape(repository))),
	})
	packages := slices.Clone(img.Packages)
	order := func(p Package) string {
		return p.Kind + "\x00" + p.Name + "\x00" + p.Version + "\x00" + p.PURL + digestsOf(p.Digest)
	}
	slices.SortFunc(packages, func(x, y Package) int { return cmp.Compare(order(x), order(y)) })
	for _, p := range slices.CompactFunc(packages, func(x, y Package) bool { return order(x) == order(y) }) {
		if p.Name == "" {
			return "", fmt.Errorf("component %q: %w", img.Component, errors.New("it has a package without a name"))
		}
		b.relate(id, "CONTAINS", b.software(p, order(p)))
	}
	return id, nil
}

// software adds a package unless another image brought it, and returns its
// identifier, which is a function of what it is.
func (b *sbomBuilder) software(p Package, identity string) common.ElementID {
	sum := sha256.Sum256([]byte(identity))
	id := elementID("Package-" + p.Kind + "-" + path.Base(p.Name) + "-" + hex.EncodeToString(sum[:8]))
	if b.known[id] {
		return id
	}
	sp := &spdx.Package{PackageName: p.Name, PackageVersion: p.Version, PackageChecksums: checksums(p.Digest)}
	if p.PURL != "" {
		sp.PackageExternalReferences = purl(p.PURL)
	}
	if h := p.Digest["dirHash"]; h != "" {
		// Not the digest of a file, so not a checksum in SPDX's sense.
		sp.PackageSourceInfo = "Go module with directory hash (h1, in hex) " + h
	}
	b.add(id, sp)
	return id
}

func (b *sbomBuilder) add(id common.ElementID, p *spdx.Package) {
	p.PackageSPDXIdentifier = id
	p.PackageDownloadLocation = noAssertion
	p.PackageLicenseConcluded = noAssertion
	p.PackageLicenseDeclared = noAssertion
	p.PackageCopyrightText = noAssertion
	b.known[id] = true
	b.doc.Packages = append(b.doc.Packages, p)
}

func (b *sbomBuilder) relate(from common.ElementID, how string, to common.ElementID) {
	b.doc.Relationships = append(b.doc.Relationships, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: from}, Relationship: how, RefB: common.DocElementID{ElementRefID: to},
	})
}

func purl(locator string) []*spdx.PackageExternalReference {
	return []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: "purl", Locator: locator}}
}

func checksums(digests map[string]string) []common.Checksum {
	var all []common.Checksum
	for _, known := range []struct {
		name string
		spdx common.ChecksumAlgorithm
	}{{"sha1", common.SHA1}, {"sha256", common.SHA256}, {"sha512", common.SHA512}} {
		if v := digests[known.name]; v != "" {
			all = append(all, common.Checksum{Algorithm: known.spdx, Value: v})
		}
	}
	return all
}

var notIdentifier = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// elementID makes an identifier of the letters that SPDX allows.
func elementID(s string) common.ElementID {
	return common.ElementID(notIdentifier.ReplaceAllString(s, "-"))
}
