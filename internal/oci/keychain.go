package oci

import (
	"fmt"
	"os"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// KeychainFromFile returns the credentials in a file as docker login, podman
// login and pull secrets write them.
func KeychainFromFile(path string) (authn.Keychain, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	credentials, err := config.LoadFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("reading registry credentials %q: %w", path, err)
	}
	return &fileKeychain{credentials}, nil
}

type fileKeychain struct{ file *configfile.ConfigFile }

// Resolve looks for the repository first and then for its host, as podman does.
func (k *fileKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	keys := []string{target.String(), target.RegistryStr()}
	if target.RegistryStr() == name.DefaultRegistry {
		keys = append(keys, authn.DefaultAuthKey)
	}
	for _, key := range keys {
		found, err := k.file.GetAuthConfig(key)
		if err != nil {
			return nil, err
		}
		found.ServerAddress = ""
		if found != (types.AuthConfig{}) {
			return authn.FromConfig(authn.AuthConfig{
				Username: found.Username, Password: found.Password, Auth: found.Auth,
				IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
			}), nil
		}
	}
	return authn.Anonymous, nil
}
