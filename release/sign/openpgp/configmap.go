package openpgp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/slipway-release/slipway/internal/state"
)

// What makes a ConfigMap one that clusters look for signatures in.
const (
	configMapNamespace = "openshift-config-managed"
	configMapLabel     = "release.openshift.io/verification-signatures"
)

const (
	maxConfigMaps = 16 << 20 // bytes of a file
	maxDocuments  = 10_000   // in a file
)

// configMap is what is used of a Kubernetes ConfigMap.
type configMap struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   configMapMetadata `json:"metadata"`
	Data       map[string]string `json:"data,omitempty"`
	BinaryData map[string][]byte `json:"binaryData,omitempty"`
	Items      []configMap       `json:"items,omitempty"` // of a List
}

type configMapMetadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// messageKey is a key of binaryData: "sha256-<hex>-<n>".
var messageKey = regexp.MustCompile(`^sha256-([0-9a-f]{64})-([1-9][0-9]*)$`)

// ConfigMaps is a store in ConfigMaps.
type ConfigMaps struct {
	name  string
	items []configMap
}

// LoadConfigMaps reads the ConfigMaps in a file: YAML or JSON, one or more
// documents, or a List. Objects of other kinds are passed over.
func LoadConfigMaps(path string) (*ConfigMaps, error) {
	data, err := readFile(path, maxConfigMaps)
	if err != nil {
		return nil, fmt.Errorf("reading signature ConfigMap: %w", err)
	}
	maps, err := ParseConfigMaps(data)
	if err != nil {
		return nil, fmt.Errorf("reading signature ConfigMap %q: %w", path, err)
	}
	maps.name = path
	return maps, nil
}

// ParseConfigMaps is LoadConfigMaps for what was read already.
func ParseConfigMaps(data []byte) (*ConfigMaps, error) {
	all := &ConfigMaps{name: "ConfigMap"}
	documents, err := split(data)
	if err != nil {
		return nil, err
	}
	for _, document := range documents {
		var m configMap
		if err := yaml.Unmarshal(document, &m); err != nil {
			return nil, fmt.Errorf("it is no ConfigMap: %w", err)
		}
		for _, item := range append(m.Items, m) {
			if item.Kind == "ConfigMap" {
				all.items = append(all.items, item)
			}
		}
	}
	if len(all.items) == 0 {
		return nil, errors.New("it holds no ConfigMap")
	}
	return all, nil
}

// split returns the documents of a YAML stream, each as YAML of its own.
func split(data []byte) ([][]byte, error) {
	var all [][]byte
	for decoder := yaml3.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml3.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is no YAML: %w", err)
		}
		document, err := yaml3.Marshal(&node)
		if err != nil {
			return nil, fmt.Errorf("it is no YAML: %w", err)
		}
		if all = append(all, document); len(all) > maxDocuments {
			return nil, fmt.Errorf("it has more than the %d documents allowed", maxDocuments)
		}
	}
}

func (c *ConfigMaps) String() string { return c.name }

// Messages implements Store.
func (c *ConfigMaps) Messages(_ context.Context, digest v1.Hash) ([]Found, error) {
	var all []Found
	for _, m := range c.items {
		for _, key := range m.keys(digest) {
			if len(m.BinaryData[key]) > maxMessage {
				return nil, fmt.Errorf("reading signature ConfigMap %q: %s has more than the %d bytes allowed", c.name, key, maxMessage)
			}
			all = append(all, Found{c.name + ": " + key, m.BinaryData[key]})
		}
	}
	return all, nil
}

// keys returns the keys of the messages about a digest, in the order of their
// numbers.
func (m configMap) keys(digest v1.Hash) []string {
	var keys []string
	for key := range m.BinaryData {
		if parts := messageKey.FindStringSubmatch(key); parts != nil && parts[1] == digest.Hex {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y string) int { return number(x) - number(y) })
	return keys
}

func number(key string) int {
	n, _ := strconv.Atoi(key[strings.LastIndexByte(key, '-')+1:])
	return n
}

// AddToConfigMap adds messages to the ConfigMap in a file, which is made when it
// is not there, and returns their keys. Messages that are there stay as they
// are. The file then holds one ConfigMap, sha256-<hex>, ready to be applied to a
// cluster: as JSON when its name ends in .json, else as YAML.
func AddToConfigMap(path string, digest v1.Hash, messages ...[]byte) ([]string, error) {
	keys, err := addToConfigMap(path, digest, messages)
	if err != nil {
		return nil, fmt.Errorf("writing signature ConfigMap %q: %w", path, err)
	}
	return keys, nil
}

// ConfigMapFile is the name that `oc adm release mirror` gives to the file with a
// payload's ConfigMap.
func ConfigMapFile(digest v1.Hash) string {
	return fmt.Sprintf("signature-%s-%.16s.json", digest.Algorithm, digest.Hex)
}

// newConfigMap is a ConfigMap in which clusters look for messages about a digest.
func newConfigMap(digest v1.Hash) configMap {
	return configMap{APIVersion: "v1", Kind: "ConfigMap", Metadata: configMapMetadata{
		Name: digest.Algorithm + "-" + digest.Hex, Namespace: configMapNamespace, Labels: map[string]string{configMapLabel: ""},
	}, BinaryData: map[string][]byte{}}
}

// marshal writes JSON into files named .json, and YAML into others.
func (m configMap) marshal(ending string) ([]byte, error) {
	if ending != ".json" {
		return yaml.Marshal(m)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	return append(data, '\n'), err
}

func addToConfigMap(path string, digest v1.Hash, messages [][]byte) ([]string, error) {
	m := newConfigMap(digest)
	present, err := readFile(path, maxConfigMaps)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		old, err := ParseConfigMaps(present)
		if err != nil {
			return nil, err
		}
		if len(old.items) != 1 || old.items[0].Metadata.Name != m.Metadata.Name {
			return nil, fmt.Errorf("it is there, and is not the ConfigMap %s alone; name another file", m.Metadata.Name)
		}
		for _, key := range old.items[0].keys(digest) {
			m.BinaryData[key] = old.items[0].BinaryData[key]
		}
	}
	var keys []string
	for _, message := range messages {
		key, err := m.add(digest, message)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	data, err := m.marshal(filepath.Ext(path))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return keys, state.WriteFile(path, data, 0o644)
}

func (m *configMap) add(digest v1.Hash, message []byte) (string, error) {
	for n := 1; n <= maxMessages; n++ {
		key := fmt.Sprintf("%s-%s-%d", digest.Algorithm, digest.Hex, n)
		present, taken := m.BinaryData[key]
		if taken && !bytes.Equal(present, message) {
			continue
		}
		m.BinaryData[key] = message
		return key, nil
	}
	return "", fmt.Errorf("it has %d signatures already, which is all that clusters look at", maxMessages)
}
