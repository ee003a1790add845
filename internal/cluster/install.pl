# Moves the tree staged in the first folder over the second. Each file is
# renamed, which replaces the one in its place at once and leaves programs that
# run from it alone. Folders are made where missing and otherwise kept.
use strict;
use warnings;

my ($from, $to) = @ARGV;

sub install {
    my ($dir) = @_;
    opendir(my $handle, "$from/$dir") or die "reading $from/$dir: $!\n";
    for my $name (sort readdir $handle) {
        next if $name eq '.' || $name eq '..';
        my $path = $dir eq '' ? $name : "$dir/$name";
        my @stat = lstat("$from/$path") or die "looking at $from/$path: $!\n";
        if (-d _) {
            # A folder may be a link in the running system: /bin to /usr/bin.
            if (!-d "$to/$path") {
                unlink "$to/$path";
                mkdir "$to/$path" or die "making $to/$path: $!\n";
                chown $stat[4], $stat[5], "$to/$path";
                chmod $stat[2] & 07777, "$to/$path";
            }
            install($path);
            next;
        }
        # A link where a folder stands is what makes that folder reachable; it stays.
        next if -l "$from/$path" && -d "$to/$path" && !-l "$to/$path";
        rename "$from/$path", "$to/$path" or die "moving $path into place: $!\n";
    }
    closedir $handle;
}

install('');
