import java.io.BufferedReader;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.lucene.analysis.standard.StandardAnalyzer;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.TextField;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.MMapDirectory;
import org.apache.lucene.util.Version;

/** Lucene on a corpus of the bench: build from text with passages stored, then queries one at a time with their passages. */
public class LuceneBench {
  // the words of the bench are letters and spaces, so that two patterns read its files
  private static final Pattern ROW = Pattern.compile("\"id\":\"(\\d+)\",\"title\":\"([a-z ]*)\",\"text\":\"([a-z ]*)\"");
  private static final Pattern QUERY = Pattern.compile("\"([a-z ]+)\"");
  private static final CharArraySet STOP =
      new CharArraySet(Arrays.asList(("a an and are as at be but by for if in into is it no not of on or such that the "
          + "their then there these they this to was will with").split(" ")), true);

  private static final int WARM_ROUNDS = 10;

  public static void main(String[] args) throws Exception {
    Path folder = Path.of(args[2]);
    StandardAnalyzer analyzer = new StandardAnalyzer(STOP);
    BM25Similarity similarity = new BM25Similarity(0.9f, 0.4f);
    long start = System.nanoTime();
    int passages = 0;
    try (MMapDirectory directory = new MMapDirectory(folder)) {
      IndexWriterConfig config = new IndexWriterConfig(analyzer).setSimilarity(similarity).setRAMBufferSizeMB(64);
      config.setOpenMode(IndexWriterConfig.OpenMode.CREATE);
      try (IndexWriter writer = new IndexWriter(directory, config);
          BufferedReader lines = Files.newBufferedReader(Path.of(args[0]))) {
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
          Matcher row = ROW.matcher(line);
          if (!row.find()) throw new IllegalArgumentException(line);
          Document document = new Document();
          document.add(new StoredField("id", row.group(1)));
          document.add(new StoredField("record", line));
          document.add(new TextField("text", row.group(2) + " " + row.group(3), Field.Store.NO));
          writer.addDocument(document);
          passages++;
        }
        writer.forceMerge(1);
        writer.commit();
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      double cpu = cpuSeconds();
      long bytes = 0;
      for (String name : directory.listAll()) bytes += directory.fileLength(name);
      StringBuilder report = new StringBuilder();
      report.append(String.format("{\"passages\":%d,\"buildSeconds\":%.2f,\"buildCpuSeconds\":%.2f,", passages, seconds, cpu));
      report.append(String.format("\"buildPeakBytes\":%d,\"diskBytes\":%d,", peakBytes(), bytes));
      report.append(String.format("\"version\":\"Lucene %s\"", Version.LATEST));
      try (DirectoryReader reader = DirectoryReader.open(directory)) {
        IndexSearcher searcher = new IndexSearcher(reader);
        searcher.setSimilarity(similarity);
        // warm, ranked and read of keywords, then of all words
        String[] lists = Files.readString(Path.of(args[1])).split("\\[");
        for (int kind = 0; kind < 2; kind++) {
          List<String> warm = queries(lists[1 + 3 * kind]);
          for (int round = 0; round < WARM_ROUNDS; round++) measure(searcher, warm, true); // the JVM compiles meanwhile
          report.append(kind == 0 ? ",\"keywords\":" : ",\"allWords\":");
          report.append("{\"ranked\":").append(measure(searcher, queries(lists[2 + 3 * kind]), false));
          report.append(",\"read\":").append(measure(searcher, queries(lists[3 + 3 * kind]), true)).append("}");
        }
      }
      System.out.println(report.append("}"));
    }
  }

  private static List<String> queries(String json) {
    List<String> found = new ArrayList<>();
    Matcher matcher = QUERY.matcher(json);
    while (matcher.find()) if (matcher.group(1).contains(" ")) found.add(matcher.group(1));
    return found;
  }

  private static String measure(IndexSearcher searcher, List<String> queries, boolean reads) throws Exception {
    double[] times = new double[queries.size()];
    double cpu = cpuSeconds();
    for (int i = 0; i < times.length; i++) {
      long begun = System.nanoTime();
      BooleanQuery.Builder query = new BooleanQuery.Builder();
      for (String word : queries.get(i).split(" "))
        if (!STOP.contains(word)) query.add(new TermQuery(new Term("text", word)), BooleanClause.Occur.SHOULD);
      for (ScoreDoc hit : searcher.search(query.build(), 10).scoreDocs)
        if (reads) searcher.storedFields().document(hit.doc);
      times[i] = (System.nanoTime() - begun) / 1e6;
    }
    cpu = (cpuSeconds() - cpu) * 1000 / times.length;
    Arrays.sort(times);
    return String.format(
        "{\"p50\":%.3f,\"p95\":%.3f,\"cpu\":%.3f}", times[times.length / 2], times[(int) (times.length * 0.95)], cpu);
  }

  private static double cpuSeconds() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
  }

  /** Of Linux; elsewhere 0. */
  private static long peakBytes() throws Exception {
    Path status = Path.of("/proc/self/status");
    if (!Files.exists(status)) return 0;
    for (String line : Files.readAllLines(status))
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
    return 0;
  }
}
